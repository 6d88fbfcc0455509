import { beforeAll, describe, expect, test } from 'vitest';
import { toHex } from '#shared/bytes.ts';
import { PreviousReceipts } from '#shared/receipt/build/previous-receipts.ts';
import { parseReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import { exportConversation, exportName } from '../../../web/conversations/export-conversation.ts';
import { groupByAge } from '../../../web/conversations/group-by-age.ts';
import type { KeptConversation, KeptId } from '../../../web/conversations/kept-conversation.ts';
import { keptEvidenceSchema, type KeptEvidence } from '../../../web/conversations/kept-evidence.ts';
import { signTabReceipt } from '../../../web/network/tab-receipt.ts';
import { recognize } from '../../../web/receipts/given-files.ts';
import { verifyHere } from '../../../web/receipts/verify-here.ts';
import { codeOf } from '../../support/code-of.ts';
import { giveAnswer, makePeople, type GivenAnswer } from '../../support/receipts.ts';

const [first, second] = ['1'.repeat(16), '2'.repeat(16)] as [KeptId, KeptId];
let given: GivenAnswer;
let evidence: KeptEvidence;

beforeAll(async () => {
  given = await giveAnswer(await makePeople());
  const { evidence: made, manifest, manifestDigest, text, serverKey, random, verify } = given.parts;
  const signed = await signTabReceipt(
    { evidence: made, prompt: given.parts.prompt, answer: given.answer },
    {
      ...{ manifest, manifestDigest, text, serverKey, random, verify, identity: given.people.requester },
      previous: new PreviousReceipts(),
      postReceipt: () => Promise.reject(new Error('no log')),
      holdProof: () => Promise.resolve(),
    },
  );
  evidence = keptEvidenceSchema.parse(structuredClone({ routes: [], reroutes: [], receipt: signed }));
});

function conversation(): KeptConversation {
  const answer = (text: string): KeptConversation['turns'][number]['answer'] => ({
    state: 'done',
    parts: [{ start: 5, end: 6, text, tier: 'checked' }],
    ...{ endReason: 'stop', error: null, tokens: 1, promptTokens: 5, firstTokenMs: 1, tokensPerSecond: null },
    tier: 'checked',
    counts: { checked: 1, settled: 0, unchecked: 0, disputed: 0 },
  });
  const turn = { askedAtMs: 0, leftOut: 0 };
  return {
    ...{ id: 'c'.repeat(16) as KeptId, title: 'Wrens', createdAtMs: 0, updatedAtMs: 1, leaf: second },
    turns: [
      { ...turn, id: first, parent: null, question: given.prompt, answer: answer(given.answer) },
      { ...turn, id: second, parent: first, question: 'And owls?', answer: answer('They hoot.') },
    ],
  };
}

describe('a conversation as a file', () => {
  test('has every turn, and receipts with the salts that open them', async () => {
    const text = exportConversation(conversation(), (turn) => (turn === first ? evidence : null));
    const { turns, ...rest } = JSON.parse(text) as { turns: Record<string, unknown>[] };
    expect(rest).toMatchObject({
      format: 'chorus-conversation/1',
      title: 'Wrens',
      createdAt: '1970-01-01T00:00:00.000Z',
    });
    expect(turns.map(({ question, parent }) => [question, parent])).toEqual([
      [given.prompt, null],
      ['And owls?', first],
    ]);
    expect(turns[1]).toMatchObject({ receipt: null, secrets: null, answer: 'They hoot.', ended: 'stop' });

    const [{ receipt, secrets }] = turns as [Record<string, unknown>];
    const { salt, prompt, tokens } = parseReceiptSecrets(secrets);
    expect(toHex(salt)).toBe(toHex(evidence.receipt!.receipt!.secrets.salt));
    const verification = await verifyHere({ receipt, salt, prompt: prompt!, tokens, answer: given.answer });
    expect(verification.isValid).toBe(true);
    expect(verification.id).toBe(turns[0]!['receiptId']);
    expect(recognize(JSON.stringify(receipt)).kind).toBe('receipt');
    expect(recognize(text)).toMatchObject({
      kind: 'conversation',
      answers: [{ answer: given.answer, receipt, secrets }],
    });
  });

  test.for<[string, object]>([
    ['of another kind', { format: 'chorus-conversation/2' }],
    ['without turns', { turns: 7 }],
    ['without a receipt', { turns: [{ question: 'a', answer: 'b', receipt: null, secrets: null }] }],
  ])('%s gives nothing to verify', ([, change]) => {
    const file = { ...(JSON.parse(exportConversation(conversation(), () => evidence)) as object), ...change };
    expect(codeOf(() => recognize(JSON.stringify(file)))).toBe('bad-message');
  });

  test.for<[string, string]>([
    ['What is 17 + 25?', 'conversation-what-is-17-25.json'],
    ['Où est l’hôtel ?', 'conversation-ou-est-l-hotel.json'],
    ['../../etc', 'conversation-etc.json'],
    ['鷦鷯', 'conversation.json'],
  ])('of the title %s has a name that every file system takes', ([title, name]) => {
    expect(exportName(title)).toBe(name);
  });
});

test('conversations are grouped by the day of the calendar', () => {
  const nowMs = new Date(2026, 2, 15, 9).getTime();
  const at = (day: number, hour: number) => ({ updatedAtMs: new Date(2026, 2, day, hour).getTime() });
  const groups = groupByAge([at(15, 1), at(14, 23), at(14, 1), at(9, 9), at(1, 1)], nowMs);
  expect(groups.map(({ name, items }) => [name, items.length])).toEqual([
    ['Today', 1],
    ['Yesterday', 2],
    ['The week before', 1],
    ['Earlier', 1],
  ]);
});
