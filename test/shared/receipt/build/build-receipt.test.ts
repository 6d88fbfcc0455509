import { describe, expect, it } from 'vitest';
import { fromBase64, utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '#shared/crypto/envelope.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { buildReceipt, signReceipt, type ReceiptParts } from '#shared/receipt/build/build-receipt.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { giveAnswer, makePeople } from '../../../support/receipts.ts';
import { wrenText } from '../../../support/wren-text.ts';

const people = await makePeople();
const { parts, answer, prompt, tokens, salt } = await giveAnswer(people);
const { evidence } = parts;
const withEvidence = (more: Partial<Evidence>): ReceiptParts => ({ ...parts, evidence: { ...evidence, ...more } });

/** The receipt of these, which must be valid whatever it says. */
async function predicateOf(changed: ReceiptParts) {
  const statement = await buildReceipt(changed);
  const receipt = await signReceipt(statement, people.requester);
  const { checks } = await verifyReceipt({
    receipt,
    answer: changed.answer,
    salt,
    tokens: changed.evidence.tokens,
    verify,
  });
  expect(checks.filter(({ status }) => status === 'failed')).toEqual([]);
  return statement.predicate;
}

/** Evidence in which one replica signed something else. */
async function resigned(place: number, change: (predicate: Record<string, unknown>) => unknown): Promise<ReceiptParts> {
  const attestations = [...evidence.attestations];
  const { replica, publicKey, envelope } = attestations[place]!;
  const statement = JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload))) as {
    predicate: Record<string, unknown>;
  };
  change(statement.predicate);
  const identity = people.replicas.find(({ id }) => id === replica)!;
  const forged = await signEnvelope(identity, STATEMENT_PAYLOAD_TYPE, utf8(JSON.stringify(statement)));
  attestations[place] = { replica, publicKey, envelope: forged };
  return withEvidence({ attestations });
}

describe('a receipt as it is built', () => {
  it('says what ran, and no secret of it', async () => {
    const { request, verdict, stages } = await predicateOf(parts);
    expect(verdict).toEqual({ tier: 'checked', counts: { checked: 3, settled: 0, unchecked: 0, disputed: 0 } });
    expect(stages.flatMap(({ replicas }) => replicas.map(({ signed }) => signed !== null))).toEqual(
      Array(4).fill(true),
    );
    expect(request.sampling).toEqual({
      temperature: 0,
      topP: 1,
      seed: 5,
      maxNewTokens: 200,
      sampler: 'chorus-sample/2',
    });
    const text = JSON.stringify(await buildReceipt(parts));
    for (const secret of ['wren', Buffer.from(salt).toString('hex'), Buffer.from(salt).toString('base64')]) {
      expect(text.includes(secret)).toBe(false);
    }
  });

  it.each<[string, ReceiptParts]>([
    ['another prompt was fed', { ...parts, prompt: { ...wrenText.textPrompt(`${prompt} `, true), isRendered: true } }],
    ['another prompt was fed, of which the text is the same', { ...parts, prompt: wrenText.textPrompt(prompt) }],
    ['a token of the prompt was changed', withEvidence({ tokens: [tokens[0]! + 1, ...tokens.slice(1)] })],
    ['a token of the answer was changed', withEvidence({ tokens: [...tokens.slice(0, -1), tokens[0]!] })],
    ['the answer was changed', { ...parts, answer: `${answer}!` }],
    ['the answer was cut where no stop string is', { ...parts, answer: answer.slice(0, 20) }],
    ['the prompt ends elsewhere', withEvidence({ promptTokens: evidence.promptTokens + 1 })],
    ['positions were not run', withEvidence({ positions: evidence.positions - 1 })],
    ['another route was signed', withEvidence({ route: { ...evidence.route, capacity: 512 } })],
    ['somebody else asked', { ...parts, requester: { kind: 'tab', identity: people.server } }],
    ['it ended after its route', withEvidence({ finishedAtMs: evidence.finishedAtMs + 3_600_000 })],
    ['the seed is no seed', withEvidence({ anchor: new Uint8Array(3) })],
  ])('is not made where %s', async (_, changed) => {
    expect(await codeOfAsync(buildReceipt(changed))).toBe('bad-message');
  });

  it('has the answer as it was shown: up to the stop string', async () => {
    const cut = answer.slice(0, answer.indexOf(' It sings'));
    await predicateOf({ ...parts, answer: cut, stop: [' It sings'] });
  });

  it('takes a prompt that was completed as it is, and one of token ids', async () => {
    const { request } = await predicateOf({ ...parts, prompt: null });
    expect(request.prompt).toBeNull();
  });

  it('calls nothing checked that no two signatures bear out', async () => {
    const attestations = evidence.attestations.slice(0, 3);
    const { verdict, stages, spans } = await predicateOf(withEvidence({ attestations }));
    expect(verdict).toEqual({ tier: 'unchecked', counts: { checked: 0, settled: 0, unchecked: 3, disputed: 0 } });
    expect(stages[1]!.replicas[1]!.signed).toBeNull();
    expect(spans[0]!.stages.map(({ tier }) => tier)).toEqual(['checked', 'unchecked']);
  });

  it.each<[string, number, (predicate: Record<string, unknown>) => unknown]>([
    ['of another session', 1, (predicate) => (predicate.session = 'ab'.repeat(16))],
    ['of another input', 0, (predicate) => (predicate.input = { sha256: 'ab'.repeat(32) })],
    [
      'of other outputs than it committed to',
      1,
      (predicate) => ((predicate.outputs as { sha256: string }[])[0]!.sha256 = 'ab'.repeat(32)),
    ],
    ['of other runs', 2, (predicate) => (predicate.runs = { sha256: 'ab'.repeat(32) })],
    ['of next year', 3, (predicate) => (predicate.attestedAt = '2027-03-01T12:00:00Z')],
  ])('takes a record %s for none', async (_, place, change) => {
    const { verdict, stages } = await predicateOf(await resigned(place, change));
    expect(verdict.tier).toBe('unchecked');
    expect(stages[place >> 1]!.replicas[place % 2]!.signed).toBeNull();
  });

  it('takes a record with a wrong signature for none', async () => {
    const attestations = evidence.attestations.map((each) => ({ ...each, publicKey: people.server.publicKey }));
    const { stages } = await predicateOf(withEvidence({ attestations }));
    expect(stages.flatMap(({ replicas }) => replicas.map(({ signed }) => signed))).toEqual(Array(4).fill(null));
  });
});
