import { describe, expect, it } from 'vitest';
import { fromBase64, utf8 } from '#shared/bytes.ts';
import { sealEnvelope, preAuthEncoding } from '#shared/crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '#shared/crypto/envelope.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { CheckFailure } from '#shared/judge/finding.ts';
import { LAST_RECORD_MS } from '#shared/limits.ts';
import type { Attestation, AttestationPredicate } from '#shared/receipt/evidence/attestation.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { checkedNetwork, only, prompt } from '../../support/checked-network.ts';
import { GREEDY } from '../../support/toy-model.ts';
import { toyIdentity, ToyNetwork, toySignature } from '../../support/toy-network.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

type Recorded = Extract<PeerMessage, { type: 'recorded' }>;
const request = { promptTokens: prompt(40), maxNewTokens: 24, sampling: GREEDY };
const OTHER = 'a'.repeat(64);

function attestationOf({ envelope }: Recorded): Attestation {
  return JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload))) as Attestation;
}

/** Signs whatever is given, with the key of the message. */
function signed(message: Recorded, payload: string, payloadType = STATEMENT_PAYLOAD_TYPE): Recorded {
  const bytes = utf8(payload);
  const signature = toySignature(message.publicKey, preAuthEncoding(payloadType, bytes));
  const keyid = message.envelope.signatures[0]!.keyid as PeerId;
  return { ...message, envelope: sealEnvelope(keyid, payloadType, bytes, signature) };
}

/** The signed record differs in these fields of its predicate. */
function says(change: (said: AttestationPredicate) => Partial<AttestationPredicate>): (message: Recorded) => Recorded {
  return (message) => {
    const attestation = attestationOf(message);
    const predicate = { ...attestation.predicate, ...change(attestation.predicate) };
    return signed(message, JSON.stringify({ ...attestation, predicate }));
  };
}

/** Its last output and its subject, which must be the same, are others. */
function otherOutput(message: Recorded): Recorded {
  const attestation = attestationOf(message);
  const outputs = attestation.predicate.outputs.map((output, i, all) =>
    i === all.length - 1 ? { ...output, sha256: OTHER } : output,
  );
  const subject = [{ ...attestation.subject[0]!, digest: { sha256: OTHER } }];
  return signed(message, JSON.stringify({ ...attestation, subject, predicate: { ...attestation.predicate, outputs } }));
}

const WRONG: readonly (readonly [string, CheckFailure, (message: Recorded) => Recorded])[] = [
  ['another key', 'record-malformed', (good) => ({ ...good, publicKey: toyIdentity('another').publicKey })],
  [
    'another key id',
    'record-malformed',
    ({ envelope, ...good }) => ({
      ...good,
      envelope: { ...envelope, signatures: [{ ...envelope.signatures[0]!, keyid: OTHER }] },
    }),
  ],
  [
    'another payload type',
    'record-malformed',
    (good) => signed(good, JSON.stringify(attestationOf(good)), 'text/plain'),
  ],
  ['a payload that is not JSON', 'record-malformed', (good) => signed(good, '{')],
  ['a payload that is no statement', 'record-malformed', (good) => signed(good, '{}')],
  ['another session', 'record-malformed', says(() => ({ session: 'f'.repeat(32) as SessionId }))],
  ['another stage', 'record-malformed', says(({ stage }) => ({ stage: stage + 1 }))],
  ['another range', 'record-malformed', says(({ range }) => ({ range: { ...range, end: range.end - 1 } }))],
  ['another role', 'record-malformed', says(({ role }) => ({ role: role === 'primary' ? 'shadow' : 'primary' }))],
  ['another model', 'record-malformed', says(() => ({ model: OTHER as Digest }))],
  ['another numeric class', 'record-malformed', says(() => ({ numericClass: 'webgpu/other/other' }))],
  ['another runtime', 'record-malformed', says(({ runtime }) => ({ runtime: { ...runtime, version: '9.9.9' } }))],
  ['fewer positions', 'record-malformed', says(({ positions }) => ({ positions: positions - 1 }))],
  ['a chunk left out', 'record-malformed', says(({ outputs }) => ({ outputs: outputs.slice(1) }))],
  [
    'a subject that is not its output',
    'record-malformed',
    (good) => {
      const attestation = attestationOf(good);
      const subject = [{ ...attestation.subject[0]!, digest: { sha256: OTHER } }];
      return signed(good, JSON.stringify({ ...attestation, subject }));
    },
  ],
  ['another input', 'record-mismatch', says(() => ({ input: { sha256: OTHER } }))],
  ['another output', 'record-mismatch', otherOutput],
  ['other runs', 'record-mismatch', says(() => ({ runs: { sha256: OTHER } }))],
  [
    'a signature that is false',
    'record-signature',
    ({ envelope, ...good }) => ({
      ...good,
      envelope: { ...envelope, signatures: [{ ...envelope.signatures[0]!, sig: `${'A'.repeat(86)}==` }] },
    }),
  ],
];

/** Answers in which one replica says something else in its record. */
async function ask(network: ToyNetwork, by: PeerId, change: (message: Recorded) => Recorded) {
  network.links.rewrite = (message, from) => (message.type === 'recorded' && from === by ? change(message) : message);
  const shadows = network.shadows;
  const { events } = await network.ask(network.conversation({ shadows }), request);
  return { events, evidence: evidenceOf(events) };
}

describe('a record with', () => {
  it.each(WRONG)('%s is a fault that is named, and left out', async (_, code, change) => {
    for (const [at, role] of (['primary', 'shadow'] as const).entries()) {
      const network = checkedNetwork();
      const { id } = network.of(1)[at]!;
      const { events, evidence } = await ask(network, id, change);
      expect(only(events, 'fault')).toMatchObject([{ volunteer: id, stage: 1, role, code, isProven: false }]);
      expect(evidence.faults).toMatchObject([{ volunteer: id, code }]);
      expect(evidence.attestations.map(({ replica }) => replica)).not.toContain(id);
      expect(evidence.attestations).toHaveLength(5);
      expect(only(events, 'rerouted')).toEqual([]);
      expect(evidence.tier).toBe('checked');
      const { predicate, verification } = await receiptOf(evidence);
      expect(failedChecks(verification)).toEqual([]);
      expect(predicate.verdict.tier).toBe('unchecked');
    }
  });

  it.each(WRONG.filter(([what]) => !['another input', 'another output'].includes(what)))(
    '%s is left out where nothing was checked, too',
    async (_, code, change) => {
      const network = new ToyNetwork();
      const { id } = network.of(1)[0]!;
      const { events, evidence } = await ask(network, id, change);
      expect(only(events, 'fault')).toMatchObject([{ volunteer: id, code }]);
      expect(evidence.attestations).toHaveLength(2);
    },
  );

  it('other tokens than were fed is left out where nothing was checked, too', async () => {
    const network = new ToyNetwork();
    const { id } = network.of(0)[0]!;
    const { events } = await ask(
      network,
      id,
      says(() => ({ input: { sha256: OTHER } })),
    );
    expect(only(events, 'fault')).toMatchObject([{ volunteer: id, code: 'record-mismatch' }]);
  });

  it('a fault is told the server at the end of the answer, and when the session is given back', async () => {
    const network = checkedNetwork();
    const { control, requester } = network.requester();
    const { id } = network.of(2)[1]!;
    network.links.rewrite = (message, from) =>
      message.type === 'recorded' && from === id ? says(() => ({ stage: 1 }))(message) : message;
    const conversation = requester.openConversation(network.model);
    await network.ask(conversation, request);
    const faults = [{ volunteer: id, code: 'check-failed' }];
    expect(control.sent.at(-1)).toMatchObject({ type: 'rest', faults });
    conversation.close();
    // The first gives back a route that would have been no better.
    expect(network.releases).toMatchObject([
      { outcome: 'cancelled', faults: [] },
      { outcome: 'done', faults },
    ]);
  });
});

/** How long a second answer takes up to when it asks for records. */
async function secondAnswerMs(promptTokens: readonly number[]): Promise<number> {
  const network = checkedNetwork();
  const conversation = network.conversation();
  await network.ask(conversation, request);
  const beganMs = network.clock.nowMs();
  let askedMs = beganMs;
  network.links.fate = (message) => {
    if (message.type === 'record') askedMs = network.clock.nowMs();
    return [1];
  };
  await network.ask(conversation, { ...request, promptTokens });
  return askedMs - beganMs;
}

describe('a record', () => {
  it('that comes twice counts once', async () => {
    const network = checkedNetwork();
    network.links.fate = (message) => (message.type === 'recorded' ? [1, 1] : [1]);
    const { events } = await network.ask(network.conversation(), request);
    expect(evidenceOf(events).attestations).toHaveLength(6);
    expect(only(events, 'fault')).toEqual([]);
  });

  it('that follows another from the same replica changes nothing', async () => {
    const network = checkedNetwork();
    const { id } = network.of(1)[0]!;
    let sent = 0;
    network.links.fate = (message, from) => (message.type === 'recorded' && from === id ? [1, 1.5] : [1]);
    network.links.rewrite = (message, from) => {
      if (message.type === 'recorded' && from === id) sent += 1;
      return message;
    };
    const { events } = await network.ask(network.conversation(), request);
    expect(sent).toBe(1);
    expect(evidenceOf(events).attestations).toHaveLength(6);
  });

  it.each<[string, (good: Recorded) => Recorded]>([
    ['for another session', (good) => ({ ...good, session: 'e'.repeat(32) as SessionId })],
  ])('%s is none, and is waited for in vain', async (_, change) => {
    const network = checkedNetwork();
    const { id } = network.of(1)[0]!;
    const { events, evidence } = await ask(network, id, change);
    expect(evidence.attestations).toHaveLength(5);
    expect(only(events, 'fault')).toEqual([]);
    expect(network.clock.nowMs()).toBeGreaterThan(LAST_RECORD_MS);
  });

  it('of the answer before is about too few positions', async () => {
    const network = checkedNetwork();
    const { id } = network.of(1)[0]!;
    const conversation = network.conversation();
    let old: Recorded | null = null;
    network.links.rewrite = (message, from) => {
      if (message.type !== 'recorded' || from !== id) return message;
      old ??= message;
      return old;
    };
    await network.ask(conversation, { ...request, maxNewTokens: 4 });
    const { events } = await network.ask(conversation, request);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: id, code: 'record-malformed' }]);
  });

  it('of the answer before, of as many positions, has another number', async () => {
    const network = checkedNetwork();
    const { id } = network.of(1)[0]!;
    const conversation = network.conversation();
    let old: Recorded | null = null;
    network.links.rewrite = (message, from) => {
      if (message.type !== 'recorded' || from !== id) return message;
      old ??= message;
      return old;
    };
    await network.ask(conversation, request);
    const { events } = await network.ask(conversation, request);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: id, code: 'record-malformed' }]);
  });

  it.each([
    ['of fewer positions', prompt(41)],
    ['under another salt', request.promptTokens],
  ])('of the answer before, %s, is no fault where it comes late', async (_, promptTokens) => {
    const network = checkedNetwork();
    const { id } = network.of(1)[0]!;
    const lateMs = LAST_RECORD_MS + (await secondAnswerMs(promptTokens)) + 1;
    const heard: number[] = [];
    let askedAgainMs = Infinity;
    network.links.fate = (message, from, to) => {
      const nowMs = network.clock.nowMs();
      if (message.type === 'record' && to === id && heard.length > 0) askedAgainMs = nowMs;
      if (message.type !== 'recorded' || from !== id) return [1];
      // The first comes after the second answer has asked for its own, and a little before that.
      heard.push(nowMs + (heard.length === 0 ? lateMs : 40));
      return [heard.at(-1)! - nowMs];
    };
    const conversation = network.conversation();
    await network.ask(conversation, request);
    const { events } = await network.ask(conversation, { ...request, promptTokens });
    expect(heard).toHaveLength(2);
    expect(heard[0]!).toBeGreaterThan(askedAgainMs);
    expect(heard[0]!).toBeLessThan(heard[1]!);
    expect(only(events, 'fault')).toEqual([]);
    expect(evidenceOf(events).attestations).toHaveLength(6);
  });

  it('that comes too late, or from a stranger, is nothing to anybody', async () => {
    const network = checkedNetwork();
    const [primary, shadow] = network.of(1);
    const stranger = network.addVolunteer(0, 4, 'arbiter');
    let late = 0;
    network.links.fate = (message, from) => {
      if (message.type === 'recorded' && from === shadow!.id) return late++ === 0 ? [LAST_RECORD_MS + 500] : [1];
      return [1];
    };
    const { id, requester } = network.requester();
    const conversation = requester.openConversation(network.model);
    const first = await network.ask(conversation, request);
    expect(evidenceOf(first.events).attestations).toHaveLength(5);
    const link = await network.until(
      stranger.links.connect(id, { webrtc: true, signal: new AbortController().signal }),
    );
    const good = network.links.log.findLast(({ message, from }) => message.type === 'recorded' && from === primary!.id);
    await link.send(good!.message);
    const second = await network.ask(conversation, { ...request, promptTokens: prompt(41) });
    expect(evidenceOf(second.events).attestations).toHaveLength(6);
    expect(only([...first.events, ...second.events], 'fault')).toEqual([]);
  });
});
