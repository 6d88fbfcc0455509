import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { parseReceiptFile } from '#shared/receipt/read-receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { textOf } from '#shared/text/prompt.ts';
import {
  createReceiptGiver,
  type GatewayAnswer,
  type GiveReceipt,
  type ReceiptGiverDeps,
} from '../../../signal-server/gateway/answer-receipt.ts';
import type { ReceiptDesk } from '../../../signal-server/receipts/receipt-desk.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { realClock } from '../../support/real-clock.ts';
import { giveAnswer, makePeople, type GivenAnswer, type People } from '../../support/receipts.ts';
import { chat, say, startScripted, type ScriptedGateway } from '../../support/scripted-gateway.ts';
import { wrenGatewayText, wrenText } from '../../support/wren-text.ts';

let people: People;
let given: GivenAnswer;
let ended: GatewayAnswer;
beforeAll(async () => {
  people = await makePeople();
  given = await giveAnswer(people);
  const { manifest, manifestDigest: digest, evidence, prompt } = given.parts;
  const model = { name: manifest.name, digest, createdSeconds: 0, manifest, text: wrenGatewayText };
  ended = { identity: people.requester, evidence, model, prompt, answer: given.answer, stop: [] };
});

type Accept = ReceiptDesk['accept'];
const logged: Accept = (envelope) =>
  Promise.resolve(parseReceiptFile({ format: 'chorus-receipt/2', envelope, proof: null }));

function giver(accept: Accept, more: Partial<ReceiptGiverDeps> = {}): { give: GiveReceipt; warnings: unknown[] } {
  const warnings: unknown[] = [];
  const { random } = given.parts;
  const log = { warn: (...warning: unknown[]) => void warnings.push(warning) };
  const deps = { serverKey: people.server.publicKey, desk: { accept }, random, log };
  return { give: createReceiptGiver({ ...deps, clock: realClock, ...more }), warnings };
}

describe('the receipt that the gateway gives', () => {
  it('is of the gateway and names what it gave out', async () => {
    const files: unknown[] = [];
    const { give } = giver(async (envelope) => {
      const file = await logged(envelope);
      files.push(file);
      return file;
    });
    const { note, verdict } = await give(ended);
    if (note.receipt === null) throw new Error(note.receiptError.message);
    expect(note.receipt).toMatchObject({ url: `/v1/receipts/${note.receipt.id}`, salt: '07'.repeat(32) });
    const { answer, prompt, salt } = given;
    const found = await verifyReceipt({ receipt: files[0], verify, answer, prompt, salt });
    expect(verdict?.tier).toBe(found.summary?.tier);
    expect(found).toMatchObject({ isValid: true, id: note.receipt.id, summary: { requester: { kind: 'gateway' } } });
  });

  const failing: [string, string, Partial<GatewayAnswer>, Accept][] = [
    ['a part has no verdict', 'check_failed', { evidence: null }, logged],
    ['other text was given out', 'bad_message', { answer: 'The wren is large.' }, logged],
    ['another prompt was rendered', 'bad_message', { prompt: wrenText.textPrompt('something else') }, logged],
    ['the log is in doubt', 'internal', {}, () => Promise.reject(new ChorusError('internal', 'the log is in doubt'))],
    ['the desk throws what is no error of ours', 'internal', {}, () => Promise.reject(new TypeError('no'))],
  ];
  it.each(failing)('is null with the reason where %s', async (_why, code, more, accept) => {
    const { give, warnings } = giver(accept);
    const { note } = await give({ ...ended, ...more });
    expect(note).toMatchObject({ receipt: null, receiptError: { code, message: expect.any(String) as string } });
    expect(warnings.length).toBe(1);
    if (code === 'internal') expect(JSON.stringify(note)).not.toContain('doubt');
    expect(JSON.stringify(warnings)).not.toMatch(/wren is|0707/i);
  });

  it('does not keep the answer waiting for a log that hangs', async () => {
    const clock = new FakeClock();
    let hasAsked = (): void => {};
    const asked = new Promise<void>((resolve) => (hasAsked = resolve));
    const { give } = giver(
      () => {
        hasAsked();
        return new Promise(() => {});
      },
      { clock },
    );
    const giving = give(ended);
    await asked;
    await clock.advance(5_000);
    const { note, verdict } = await giving;
    expect(note).toMatchObject({ receipt: null, receiptError: { code: 'timeout' } });
    // It may come to be in the log, and is then what others read.
    expect(verdict).not.toBeNull();
  });
});

describe('an answer of the API', () => {
  let gateway: ScriptedGateway | undefined;
  afterEach(() => gateway?.stop());

  it('is whole though its receipt is not, streaming or not', async () => {
    const { give } = giver(logged);
    gateway = await startScripted(say('Paris'), {}, Promise.resolve(), give);
    const missing = { receipt: null, receiptError: { code: 'check_failed' } };
    const whole = await gateway.client.chat.completions.create(chat);
    expect(whole).toMatchObject({ choices: [{ message: { content: 'Paris' } }], chorus: missing });
    const chunks = [];
    for await (const chunk of await gateway.client.chat.completions.create({ ...chat, stream: true })) {
      chunks.push(chunk);
    }
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('Paris');
    expect(chunks.at(-1)).toMatchObject({ choices: [{ finish_reason: 'stop' }], chorus: missing });
  });

  it.each([false, true])('has the receipt of just what was given out (stream: %s)', async (stream) => {
    const ends: GatewayAnswer[] = [];
    const counts = { checked: 0, settled: 0, unchecked: 3, disputed: 0 };
    const verdict = { tier: 'unchecked' as const, counts, spans: [] };
    const receipt = { id: '1'.repeat(64) as never, url: '/v1/receipts/1', salt: '2' };
    const give: GiveReceipt = (end) => {
      ends.push(end);
      return Promise.resolve({ note: { receipt }, verdict });
    };
    gateway = await startScripted(say('Paris is it'), {}, Promise.resolve(), give);
    const body = JSON.stringify({ ...chat, stop: ['is it'], stream });
    const headers = { 'content-type': 'application/json' };
    const text = await (await fetch(`${gateway.url}/chat/completions`, { method: 'POST', headers, body })).text();
    expect(text).toContain(`"receipt":${JSON.stringify(receipt)}`);
    // Those who signed bear out less than was seen of them, and the API says no more than its receipt.
    expect(text).toContain('"tier":"unchecked"');
    expect(text).toContain('"chunks":3,"checked":0,"settled":0,"unchecked":3');
    expect(ends.map(({ answer, prompt, stop }) => ({ answer, prompt: prompt && textOf(prompt), stop }))).toEqual([
      { answer: 'Paris ', prompt: 'Hi>', stop: ['is it'] },
    ]);
    expect(gateway.seen[0]?.promptTokens).toEqual([...'Hi>'].map((letter) => letter.charCodeAt(0)));
  });
});
