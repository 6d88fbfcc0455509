import { made } from 'virtual:made-receipts';
import { expect, test } from 'vitest';
import { verifyHere } from '../../../web/receipts/verify-here.ts';
import { Verifier } from '../../../web/state/verifier.svelte.ts';
import { VerifyForm } from '../../../web/state/verify-form.svelte.ts';
import { givenFiles, manifestText } from '../../support/page-gallery/receipt-fixtures.ts';

function form(load = () => Promise.resolve(verifyHere)): VerifyForm {
  return new VerifyForm(new Verifier(load));
}

function failures({ result }: VerifyForm): string[] {
  return (result?.checks ?? []).filter(({ status }) => status === 'failed').map(({ name }) => name);
}

test('a receipt with all that belongs to it, chosen in whatever order, leaves nothing unchecked but a draw that was not made', async () => {
  const all = form();
  await all.take(givenFiles()['verify-all']!);
  const open = all.result?.checks.filter(({ status }) => status !== 'passed').map(({ name }) => name);
  expect(open).toEqual(['draw']);
  expect(all.result?.id).toBe(made.id);
  expect(all.others).toEqual(['manifest.json', 'answer.txt', 'secrets.json', 'policy.txt']);
});

test.for([
  ['verify-answer', 'answer'],
  ['verify-improved', 'route-match'],
  ['verify-manifest', 'model'],
  ['verify-nonsense', 'format'],
])('%s fails as %s', async ([name, check]) => {
  const bad = form();
  await bad.take(givenFiles()[name!]!);
  expect(bad.result?.isValid).toBe(false);
  expect(failures(bad)).toContain(check);
});

test('what belongs to one receipt is not compared with the next, but the policy stays', async () => {
  const twice = form();
  await twice.take(givenFiles()['verify-all']!);
  await twice.take(givenFiles()['verify-unchecked']!);
  expect([twice.answer, twice.prompt, twice.salt, twice.tokens, twice.others]).toEqual(['', '', '', null, []]);
  expect(twice.policy).toBe(made.policy);
  expect(failures(twice)).toEqual([]);
});

test('what comes before the receipt is kept for it, and the manifest of one is not held against the next', async () => {
  const later = form();
  await later.take(givenFiles()['verify-missing']!);
  expect([later.receipt, later.others, later.result]).toEqual([null, ['manifest.json'], null]);
  await later.take(givenFiles()['verify-alone']!);
  const modelOf = ({ result }: VerifyForm) => result?.checks.find(({ name }) => name === 'model')?.status;
  expect(modelOf(later)).toBe('passed');
  await later.take([new File([manifestText()], 'manifest.json')]);
  expect(modelOf(later)).toBe('passed');
  await later.take(givenFiles()['verify-unchecked']!);
  expect(modelOf(later)).toBe('not-checked');
});

test('an answer that comes after the receipt is compared with it', async () => {
  const later = form();
  await later.take(givenFiles()['verify-alone']!);
  await later.take([new File(['The wren is large.'], 'answer.txt')]);
  expect(failures(later)).toEqual(['answer']);
  later.answer = made.answer;
  await later.verify();
  expect(failures(later)).toEqual([]);
});

test('a proof beside the receipt takes the place of the one in it', async () => {
  const proven = form();
  const unlogged = new File([JSON.stringify({ ...made.receipt, proof: null })], 'receipt.json');
  await proven.take([unlogged, new File([made.another.proof!], 'receipt.tlog-proof')]);
  expect(proven.result?.summary?.log).toMatchObject({ index: 400, size: 801 });
  expect(failures(proven)).toEqual([]);
});

test('says why nothing could be read or loaded', async () => {
  const bad = form();
  await bad.take([new File([Uint8Array.of(0xff, 0xfe)], 'photo.jpg')]);
  expect(bad.error?.message).toBe('photo.jpg is no text');
  bad.receipt = { name: 'receipt.json', value: made.receipt };
  bad.salt = 'short';
  await bad.verify();
  expect(bad.error?.code).toBe('bad-message');
  const offline = form(() => Promise.reject(new TypeError('no network')));
  await offline.take(givenFiles()['verify-alone']!);
  expect(offline.error?.code).toBe('server-lost');
  expect(offline.status).toBe('failed');
});

test('a conversation’s file gives its last answer, and any other that is chosen, each with its own secrets', async () => {
  const secrets = { format: 'chorus-receipt-secrets/1', salt: made.salt, prompt: made.prompt, tokens: made.tokens };
  const turns = [
    { question: 'one', answer: made.answer, receipt: made.receipt, secrets },
    { question: 'none', answer: 'it was stopped', receipt: null, secrets: null },
    { question: 'two', answer: 'The wren is large.', receipt: made.unchecked, secrets: null },
  ];
  const talk = form();
  await talk.take([new File([JSON.stringify({ format: 'chorus-conversation/1', turns })], 'conversation.json')]);
  expect(talk.offered.map(({ question }) => question)).toEqual(['one', 'two']);
  expect([talk.chosen, failures(talk), talk.salt]).toEqual([1, ['answer'], '']);
  await talk.choose(0);
  expect([talk.result?.id, failures(talk), talk.salt]).toEqual([made.id, [], made.salt]);
  await talk.take(givenFiles()['verify-alone']!);
  expect([talk.offered, talk.answer, talk.salt]).toEqual([[], '', '']);
});

test('what was given is there after a reload that the page offered, and once', async () => {
  sessionStorage.clear();
  const before = form();
  await before.take(givenFiles()['verify-all']!);
  before.salt = `${before.salt.slice(0, -1)}x`;
  before.leaveIn(sessionStorage);
  const after = form();
  await after.resume(sessionStorage);
  for (const part of ['receipt', 'others', 'answer', 'prompt', 'salt', 'policy', 'tokens'] as const) {
    expect(after[part], part).toEqual(before[part]);
  }
  expect(after.error?.code).toBe('bad-message');
  after.salt = '';
  await after.verify();
  expect(after.result?.id).toBe(made.id);
  const again = form();
  await again.resume(sessionStorage);
  expect(again.receipt).toBeNull();
});

test('files that are too large to outlive a reload leave the texts that were typed', async () => {
  const stored = new Map<string, string>();
  const small = {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem(key: string, value: string) {
      if (value.length < 1_000) stored.set(key, value);
    },
  };
  const before = form();
  await before.take(givenFiles()['verify-alone']!);
  before.answer = 'as I was told';
  before.leaveIn(small);
  const after = form();
  await after.resume(small);
  expect([after.receipt, after.answer]).toEqual([null, 'as I was told']);
});
