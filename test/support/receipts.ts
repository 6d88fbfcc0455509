import { toBase64, utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '#shared/crypto/envelope.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { SessionId } from '#shared/ids.ts';
import { EXACT } from '#shared/judge/closeness.ts';
import type { Finding, SpanCheck, StageCheck } from '#shared/judge/finding.ts';
import { thresholdFor, type ModelSize } from '#shared/judge/thresholds.ts';
import { checkpointText } from '#shared/log/checkpoint.ts';
import { inclusionProof, treeRoot } from '#shared/log/merkle.ts';
import { formatVerifierKey, formatNote } from '#shared/log/signed-note.ts';
import { formatTlogProof } from '#shared/log/tlog-proof.ts';
import { buildReceipt, signReceipt, type ReceiptParts } from '#shared/receipt/build/build-receipt.ts';
import { attestationStatement } from '#shared/receipt/evidence/attest.ts';
import type { Attestation } from '#shared/receipt/evidence/attestation.ts';
import type { Evidence, FedRun } from '#shared/receipt/evidence/evidence.ts';
import { receiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptFile, ReceiptStatement } from '#shared/receipt/receipt.ts';
import { ROUTE_PAYLOAD_TYPE, type Route } from '#shared/route/route.ts';
import { CHAIN_START, foldRows, ShapeChain } from '#shared/rows/row-chain.ts';
import { encodeTokens } from '#shared/rows/rows.ts';
import { textOf, type Prompt } from '#shared/text/prompt.ts';
import { cosignatureOf, logKeyOf, signatureOf, treeOf, witnessKeyOf } from './signed-notes.ts';
import { smallManifest } from './small-manifest.ts';
import { makeIdentities } from './test-identity.ts';
import { wrenText } from './wren-text.ts';

export const OTHER_CLASS = 'webgpu/google/swiftshader';
export const ISSUED_AT_MS = Date.parse('2026-03-01T12:00:00Z');
export const LOG_NAME = 'log.example/chorus';
export const WITNESSES = ['witness.example/one', 'witness.example/two'] as const;

const LAYERS = 8;

/** Everybody who signs something of a receipt. */
export interface People {
  readonly requester: Identity;
  readonly server: Identity;
  /** Primary and shadow of stage 0, then of stage 1. */
  readonly replicas: readonly [Identity, Identity, Identity, Identity];
  readonly log: Identity;
  readonly witnesses: readonly [Identity, Identity];
}

export async function makePeople(): Promise<People> {
  const made = (await makeIdentities(9)) as [
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
    Identity,
  ];
  const [requester, server, a, b, c, d, log, one, two] = made;
  return { requester, server, replicas: [a, b, c, d], log, witnesses: [one, two] };
}

/** An answer that two stages gave, each with a shadow, and all that there is to tell of it. */
export interface GivenAnswer {
  readonly people: People;
  readonly parts: ReceiptParts;
  readonly prompt: string;
  readonly pieces: Prompt;
  readonly answer: string;
  readonly tokens: readonly number[];
  readonly salt: Uint8Array<ArrayBuffer>;
}

interface Said {
  readonly content: string;
  readonly answer: string;
  readonly session: SessionId;
  /** Which record of the session it is. */
  readonly record: number;
}

const SAID: Said = {
  content: 'Tell me of the wren, and of the song that it has in winter, when other birds are silent.',
  answer: 'The wren is small and its song is loud. It sings all year, in winter too, from low in the hedge.',
  session: '0123456789abcdef0123456789abcdef' as SessionId,
  record: 1,
};

/**
 * An honest answer over real keys and a signed route. Stage 0 agreed bit for bit, stage 1 within tolerance. Its rows are
 * made up: nobody needs them after they are hashed.
 */
export async function giveAnswer(people: People, said: Partial<Said> = {}): Promise<GivenAnswer> {
  const { content, answer, session, record } = { ...SAID, ...said };
  const manifest = smallManifest({ layers: LAYERS });
  const manifestDigest = digestOf(utf8(JSON.stringify(manifest)));
  const asked = wrenText.chatPrompt([{ role: 'user', content }]);
  const prompt = textOf(asked);
  const promptTokens = wrenText.encodePrompt(asked);
  const tokens = [...promptTokens, ...wrenText.encode(answer)];
  const salt = new Uint8Array(32).fill(7);
  const positions = tokens.length - 1;
  const route = { ...routeOf(people, manifestDigest, tokens.length), session };
  const runs = runsOf(promptTokens.length, positions);
  const evidence: Evidence = {
    route,
    envelope: await signEnvelope(people.server, ROUTE_PAYLOAD_TYPE, utf8(JSON.stringify(route))),
    salt,
    tokens,
    promptTokens: promptTokens.length,
    sampling: { temperature: 0, topP: 1, seed: 5 },
    maxNewTokens: 200,
    anchor: new Uint8Array(32).fill(9),
    positions,
    runs,
    ...verdicts(route, { positions, promptTokens: promptTokens.length }, manifest.config),
    faults: [],
    record,
    attestations: await attest(people, route, {
      record,
      tokens,
      positions,
      runs,
      salt,
      promptTokens: promptTokens.length,
    }),
    startedAtMs: ISSUED_AT_MS + 1_000,
    finishedAtMs: ISSUED_AT_MS + 9_400,
  };
  const parts: ReceiptParts = {
    evidence,
    manifest,
    manifestDigest,
    text: wrenText,
    prompt: asked,
    answer,
    requester: { kind: 'tab', identity: people.requester },
    serverKey: people.server.publicKey,
    random: (bytes) => new Uint8Array(bytes).fill(3),
    previous: null,
    verify: verifySignature,
  };
  return { people, parts, prompt, pieces: asked, answer, tokens, salt };
}

function routeOf({ requester, replicas: [a, b, c, d] }: People, model: Route['model'], capacity: number): Route {
  const replica = ({ id }: Identity, numericClass: string) => ({ id, webrtc: true, numericClass });
  return {
    session: '0123456789abcdef0123456789abcdef' as SessionId,
    purpose: 'answer',
    model,
    requester: { id: requester.id, webrtc: true },
    capacity,
    issuedAtMs: ISSUED_AT_MS,
    expiresAtMs: ISSUED_AT_MS + 600_000,
    stages: [
      {
        range: { start: 0, end: 4, embedding: true, head: false },
        primary: replica(a, 'wasm'),
        shadows: [replica(b, 'wasm')],
        predictedMs: 5,
      },
      {
        range: { start: 4, end: LAYERS, embedding: false, head: true },
        primary: replica(c, 'wasm'),
        shadows: [replica(d, OTHER_CLASS)],
        predictedMs: 5,
      },
    ],
    notes: [],
  };
}

/** The prompt in chunks, with logits after its last token, then a token at a time. */
function runsOf(promptTokens: number, positions: number): FedRun[] {
  const runs: FedRun[] = [];
  for (let start = 0; start < promptTokens; start += 32) {
    const count = Math.min(32, promptTokens - start);
    runs.push({ start, count, logits: start + count === promptTokens ? 1 : 0 });
  }
  for (let start = promptTokens; start < positions; start++) runs.push({ start, count: 1, logits: 1 });
  return runs;
}

/** Spans of a chunk each, all of them checked. */
function verdicts(
  route: Route,
  { positions, promptTokens }: Pick<Ran, 'positions' | 'promptTokens'>,
  size: ModelSize,
): Pick<Evidence, 'spans' | 'tier' | 'counts'> {
  const finding = (stage: number, end: number): Finding => {
    const {
      primary,
      shadows: [shadow],
      range,
    } = route.stages[stage]!;
    // A head gives no rows before the last token of the prompt: of none, none differ.
    const isExact = stage === 0 || end < promptTokens;
    return {
      shadow: shadow!.id,
      shadowClass: shadow!.numericClass,
      outcome: 'agreed',
      isExact,
      closeness: isExact ? EXACT : { median: 1e-7, p95: 2e-7, max: 2e-7, bias: 1e-9, norm: 1, tokenGap: 0 },
      threshold: thresholdFor(primary.numericClass, shadow!.numericClass, range.head ? 'logits' : 'hidden', size),
      draws: null,
    };
  };
  const stagesOf = (end: number): StageCheck[] =>
    route.stages.map(({ range, primary: { id, numericClass } }, stage) => {
      return {
        stage,
        range,
        tier: 'checked',
        primary: id,
        primaryClass: numericClass,
        findings: [finding(stage, end)],
        arbiter: null,
        reason: null,
        drawnBy: null,
      };
    });
  const spans: SpanCheck[] = [];
  for (let start = 0; start < positions; start += 32) {
    const end = Math.min(start + 32, positions);
    spans.push({ start, end, tier: 'checked', stages: stagesOf(end) });
  }
  return { spans, tier: 'checked', counts: { checked: spans.length, settled: 0, unchecked: 0, disputed: 0 } };
}

type Ran = Pick<Evidence, 'tokens' | 'positions' | 'runs' | 'salt' | 'promptTokens' | 'record'>;

/** The record of each replica of the route, signed over made-up rows. */
async function attest(people: People, route: Route, ran: Ran): Promise<Evidence['attestations']> {
  const attestations: Evidence['attestations'][number][] = [];
  for (const [stage, { range, primary, shadows }] of route.stages.entries()) {
    for (const { id, numericClass } of [primary, ...shadows]) {
      const identity = people.replicas.find((each) => each.id === id)!;
      const isPrimary = id === primary.id;
      const rows = (label: string) => Array.from({ length: ran.positions }, (_, at) => utf8(`${label} ${at}`));
      const input = stage === 0 ? ran.tokens.map((token) => encodeTokens([token])) : rows(`out ${stage - 1}`);
      const differs = !isPrimary && stage === 1;
      const output = rows(`out ${stage}${differs ? ' nearly' : ''}`).map((row, at) =>
        range.head && at < ran.promptTokens - 1 ? new Uint8Array() : row,
      );
      const shapes = new ShapeChain();
      if (isPrimary) for (const { start, count } of ran.runs) shapes.append(start, count);
      else
        for (let start = 0; start < ran.positions; start += 32)
          shapes.append(start, Math.min(32, ran.positions - start));
      const payload = attestationStatement(
        {
          session: route.session,
          stage,
          range,
          role: isPrimary ? 'primary' : 'shadow',
          record: ran.record,
          model: route.model,
          numericClass,
          runtime: { name: 'onnxruntime-web', version: '1.30.0' },
          positions: ran.positions,
          inputAt: (end) => foldRows(CHAIN_START, input.slice(0, end)),
          outputAt: (end) => foldRows(CHAIN_START, output.slice(0, end)),
          runsAt: (end) => shapes.at(end),
        },
        ran.salt,
        ISSUED_AT_MS + 9_500,
      );
      const envelope = await signEnvelope(identity, STATEMENT_PAYLOAD_TYPE, payload);
      attestations.push({ replica: id, publicKey: identity.publicKey, envelope });
    }
  }
  return attestations;
}

/** The answer's receipt, signed and logged. */
export async function makeReceipt({ people, parts }: GivenAnswer): Promise<ReceiptFile> {
  return logReceipt(people, await signReceipt(await buildReceipt(parts), people.requester));
}

/** Puts a receipt into a log of `others` entries before and after it, with both witnesses' cosignatures. */
export async function logReceipt(
  { log, witnesses }: People,
  receipt: ReceiptFile,
  others = 3,
  label = 'another entry',
): Promise<ReceiptFile> {
  const more = Array.from({ length: others }, (_, i) => utf8(`${label} ${i}\n`));
  const entries = [...more, receiptEntry(receipt), ...more];
  const read = treeOf(entries);
  const text = checkpointText({ origin: LOG_NAME, size: entries.length, root: treeRoot(entries.length, read) });
  const seconds = ISSUED_AT_MS / 1000 + 15;
  const signatures = [
    await signatureOf(log, LOG_NAME, text),
    await cosignatureOf(witnesses[0], WITNESSES[0], text, seconds),
    await cosignatureOf(witnesses[1], WITNESSES[1], text, seconds + 1),
  ];
  const hashes = inclusionProof(others, entries.length, read);
  const proof = formatTlogProof({ extra: null, index: others, hashes, checkpoint: formatNote({ text, signatures }) });
  return { ...receipt, proof };
}

/** Trusts the log, if both witnesses have seen it. */
export function policyOf({ log, witnesses }: People): string {
  const lines = [
    `log ${formatVerifierKey(logKeyOf(log, LOG_NAME))}`,
    ...witnesses.map((each, i) => `witness w${i} ${formatVerifierKey(witnessKeyOf(each, WITNESSES[i]!))}`),
    'group both all w0 w1',
    'quorum both',
  ];
  return `${lines.join('\n')}\n`;
}

/** The statement in a receipt. */
export function statementOf({ envelope }: Pick<ReceiptFile, 'envelope'>): ReceiptStatement {
  return JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as ReceiptStatement;
}

/** A copy in which the requester says something else, signed and logged as before. */
export async function retold(
  people: People,
  receipt: ReceiptFile,
  change: (statement: ReceiptStatement) => unknown,
): Promise<ReceiptFile> {
  const statement = statementOf(receipt);
  await change(statement);
  const told = await signReceipt(statement, people.requester);
  // A file that is no receipt has no entry.
  return logReceipt(people, told).catch(() => ({ ...told, proof: receipt.proof }));
}

type Attested = NonNullable<ReceiptStatement['predicate']['stages'][number]['replicas'][number]['signed']>;

/** A replica of the receipt says something else, over its own signature. */
export async function reattest(
  people: People,
  { predicate }: ReceiptStatement,
  [stage, place]: readonly [number, number],
  change: (attestation: Attestation) => unknown,
): Promise<void> {
  const replica = predicate.stages[stage]!.replicas[place]!;
  const signed: Attested = replica.signed!;
  const attestation = JSON.parse(Buffer.from(signed.attestation.payload, 'base64').toString()) as Attestation;
  change(attestation);
  const identity = people.replicas.find(({ id }) => id === replica.id)!;
  signed.attestation = await signEnvelope(identity, STATEMENT_PAYLOAD_TYPE, utf8(JSON.stringify(attestation)));
}

/** The server assigned something else. */
export async function reroute(
  people: People,
  { predicate }: ReceiptStatement,
  change: (route: Route) => unknown,
): Promise<void> {
  const route = JSON.parse(Buffer.from(predicate.route.envelope.payload, 'base64').toString()) as Route;
  change(route);
  predicate.route.envelope = await signEnvelope(people.server, ROUTE_PAYLOAD_TYPE, utf8(JSON.stringify(route)));
}

/** The key as a receipt has it. */
export const keyText = (identity: Identity): string => toBase64(identity.publicKey);
