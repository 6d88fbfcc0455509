import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { EndedAnswer } from '#shared/receipt/build/make-receipt.ts';
import { PreviousReceipts } from '#shared/receipt/build/previous-receipts.ts';
import { formatReceiptSecrets, parseReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { logTabReceipt, signTabReceipt, type TabReceiptDeps } from '../../../web/network/tab-receipt.ts';
import { verifyHere } from '../../../web/receipts/verify-here.ts';
import { giveAnswer, logReceipt, makePeople, policyOf, retold, type GivenAnswer } from '../../support/receipts.ts';
import { wrenText } from '../../support/wren-text.ts';

const { signal } = new AbortController();
let given: GivenAnswer;
/** Proofs that were held to what was seen of the log. */
let held: string[];
beforeEach(() => void (held = []));
beforeAll(async () => {
  given = await giveAnswer(await makePeople());
});

/** A server whose log takes every receipt, unless `answer` says otherwise. */
async function make(
  change: Partial<EndedAnswer> = {},
  answer: (receipt: ReceiptFile) => Promise<ReceiptFile> = (receipt) => logReceipt(given.people, receipt),
) {
  const { evidence, manifest, manifestDigest, text, serverKey, random, verify } = given.parts;
  const deps: TabReceiptDeps = {
    ...{ manifest, manifestDigest, text, serverKey, random, verify, previous: new PreviousReceipts() },
    identity: given.people.requester,
    holdProof: (proof) => (held.push(proof), Promise.resolve()),
    postReceipt: (envelope) => answer({ format: 'chorus-receipt/2', envelope, proof: null }),
  };
  const ended = { evidence, prompt: given.parts.prompt, answer: given.answer, ...change };
  const signed = await signTabReceipt(ended, deps);
  return signed.receipt === null ? signed : logTabReceipt(signed.receipt, deps, signal);
}

describe('making the receipt of an answer', () => {
  it('gives a logged receipt that verifies with its secrets', async () => {
    const { receipt, error } = await make();
    expect(error).toBeNull();
    expect(held).toEqual([receipt!.file.proof]);
    const secrets = parseReceiptSecrets(JSON.parse(formatReceiptSecrets(receipt!.secrets)));
    const { prompt, pieces, ...known } = secrets;
    const verification = await verifyHere({
      ...known,
      prompt: prompt!,
      pieces: pieces!,
      receipt: receipt!.file,
      answer: given.answer,
      policy: policyOf(given.people),
    });
    const open = verification.checks.filter(({ status }) => status !== 'passed').map(({ name }) => name);
    expect(open).toEqual(['draw', 'model']);
    expect(verification.id).toBe(receipt!.id);
    expect(verification.summary?.requester.kind).toBe('tab');
  });

  it.each([
    ['another answer than was made', { answer: 'The wren is large.' }],
    [
      'another prompt than was run',
      { prompt: wrenText.chatPrompt([{ role: 'user', content: 'Tell me of the owl.' }]) },
    ],
  ])('makes none for %s', async (_, change) => {
    const { receipt, error } = await make(change);
    expect(receipt).toBeNull();
    expect(error?.code).toBe('bad-message');
  });

  it('keeps the signed receipt where the server does not log it', async () => {
    const { receipt, error } = await make({}, () => Promise.reject(new ChorusError('rate-limited', 'enough')));
    expect(error?.code).toBe('rate-limited');
    expect(receipt?.file.proof).toBeNull();
    expect((await verifyHere({ receipt: receipt!.file })).isValid).toBe(true);
  });

  it('takes nothing that the server gives in its place', async () => {
    const { receipt, error } = await make({}, async (file) => ({ ...file, envelope: await changed(file) }));
    expect(error?.code).toBe('digest-mismatch');
    expect(receipt?.file.proof).toBeNull();
  });

  it('does not call a receipt logged that has no proof', async () => {
    const { receipt, error } = await make({}, (file) => Promise.resolve(file));
    expect(error?.code).toBe('bad-message');
    expect(receipt?.file.proof).toBeNull();
  });

  it.each([
    ['is none', () => Promise.resolve('x')],
    ['is of another receipt', async (file: ReceiptFile) => (await anotherReceipt(file)).proof],
  ])('does not call a receipt logged whose proof %s', async (_, proof) => {
    const { receipt, error } = await make({}, async (file) => ({ ...file, proof: await proof(file) }));
    expect(error?.code).toBe('bad-message');
    expect(error?.message).toContain('does not show that it is in the log');
    expect(held).toEqual([]);
    expect(receipt?.file.proof).toBeNull();
  });
});

const anotherReceipt = (file: ReceiptFile): Promise<ReceiptFile> =>
  retold(given.people, file, ({ predicate }) => (predicate.finishedAt = predicate.startedAt));

async function changed({ envelope }: ReceiptFile): Promise<ReceiptFile['envelope']> {
  const payload = Buffer.from(envelope.payload, 'base64').toString().replace('"tab"', '"cli"');
  return { ...envelope, payload: Buffer.from(payload).toString('base64') };
}

describe('verification in the page', () => {
  it('lets the answer’s file end in a line feed that was not part of it', async () => {
    const { receipt } = await make();
    const verify = (answer: string) => verifyHere({ receipt: receipt!.file, answer });
    expect((await verify(`${given.answer}\n`)).isValid).toBe(true);
    expect((await verify(`${given.answer}\n\n`)).isValid).toBe(false);
    expect((await verify(`\ufeff${given.answer}\n`)).isValid).toBe(true);
    expect((await verify(` ${given.answer}`)).isValid).toBe(false);
  });
});
