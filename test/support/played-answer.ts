import { utf8, concatBytes } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE } from '#shared/crypto/envelope.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { SessionId } from '#shared/ids.ts';
import { EXACT } from '#shared/judge/closeness.ts';
import type { Finding, SpanCheck } from '#shared/judge/finding.ts';
import { thresholdFor } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS, TOP_K } from '#shared/limits.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { buildReceipt, signReceipt, type ReceiptParts } from '#shared/receipt/build/build-receipt.ts';
import { attestationStatement, attestedEnds } from '#shared/receipt/evidence/attest.ts';
import type { Evidence, FedRun } from '#shared/receipt/evidence/evidence.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { StageTape } from '#shared/replica/stage-tape.ts';
import { ROUTE_PAYLOAD_TYPE, type Route } from '#shared/route/route.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import { readCandidates, type Candidates } from '#shared/rows/logits-row.ts';
import { type Rows, encodeTokens } from '#shared/rows/rows.ts';
import { sampleToken, type Sampling } from '#shared/rows/sampler.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import { ISSUED_AT_MS, logReceipt, type People } from './receipts.ts';

const SAMPLING: Sampling = { temperature: 0.8, topP: 0.9, seed: 11 };
const SALT = new Uint8Array(32).fill(5);
const SESSION = 'fe'.repeat(16) as SessionId;

export interface Play {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array<ArrayBuffer>;
  /** Two stages. */
  readonly ranges: readonly [StageRange, StageRange];
  readonly openStage: (range: StageRange) => Promise<StageCompute>;
  readonly text: ModelText;
  readonly prompt: string;
  /** Tokens of the answer. */
  readonly count: number;
  /** Fed after the prompt and cut away again, before the answer. */
  readonly withdrawn?: readonly number[];
  /** Class that the primaries claim to be of. */
  readonly numericClass?: string;
  /** How tokens are drawn, where not by `sampleToken`. */
  readonly draw?: (row: Candidates, sampling: Sampling, position: number) => number;
}

export interface Played {
  readonly receipt: ReceiptFile;
  readonly tokens: readonly number[];
  readonly salt: Uint8Array<ArrayBuffer>;
  readonly answer: string;
}

const drawNow: NonNullable<Play['draw']> = (...row) => sampleToken(...row).token;

/** An answer that real stages computed, each once by a primary in the runs of an answer and once by a shadow in chunks. */
export async function playAnswer(people: People, play: Play): Promise<Played> {
  const { manifest, text, prompt, ranges, count, numericClass = 'wasm' } = play;
  const asked = { ...text.textPrompt(prompt, true), isRendered: true };
  const promptTokens = text.encodePrompt(asked);
  const positions = promptTokens.length + count - 1;
  const stages: Stage[] = [];
  // The runtime loads one model at a time.
  for (const range of ranges) stages.push({ range, ...(await openBoth(play, range, positions)) });
  const runs: FedRun[] = [];
  const tokens = [...promptTokens];
  const vocabulary = manifest.config.vocabularySize;

  async function feed(fed: readonly number[], start: number, logits: number): Promise<Rows> {
    const end = start + fed.length;
    runs.push({ start, count: fed.length, logits });
    let rows: Rows = { kind: 'tokens', start, count: fed.length, bytes: encodeTokens(fed) };
    for (const { primary, tape } of stages) {
      tape.take(rows, end - logits);
      rows = (await primary.run({ session: SESSION, input: rows, logitsFrom: end - logits })).output;
      tape.complete(end, rows);
    }
    return rows;
  }

  async function cut(position: number): Promise<void> {
    for (const { primary, tape } of stages) {
      await primary.cut(SESSION, position);
      tape.cut(position);
    }
    while ((runs.at(-1)?.start ?? -1) >= position) runs.pop();
  }

  let logits: Rows | null = null;
  const whole = [...promptTokens.slice(0, -3), ...(play.withdrawn ?? [])];
  if (play.withdrawn !== undefined) {
    await feed(whole, 0, 1);
    await cut(promptTokens.length - 5);
  }
  for (let start = play.withdrawn ? promptTokens.length - 5 : 0; start < promptTokens.length;) {
    const end = Math.min(promptTokens.length, (Math.floor(start / CHUNK_POSITIONS) + 1) * CHUNK_POSITIONS);
    logits = await feed(promptTokens.slice(start, end), start, end === promptTokens.length ? 1 : 0);
    start = end;
  }
  while (tokens.length < promptTokens.length + count) {
    const candidates = readCandidates(logits!.bytes, vocabulary, Math.min(TOP_K, vocabulary));
    const token = (play.draw ?? drawNow)(candidates, SAMPLING, tokens.length);
    tokens.push(token);
    if (tokens.length <= positions) logits = await feed([token], tokens.length - 1, 1);
  }

  const route = routeOf(people, play, tokens.length, numericClass);
  const attestations: Evidence['attestations'][number][] = [];
  const exact: boolean[] = [];
  for (const [stage, { range, shadow, tape }] of stages.entries()) {
    const again = await runShadow(shadow, tape, range, positions);
    const [mine, theirs] = [tape, again].map((each) => each.span(0, positions).chains);
    exact.push(mine!.outputTo.every((byte, i) => byte === theirs!.outputTo[i]));
    for (const [place, each] of [tape, again].entries()) {
      const identity = people.replicas[2 * stage + place]!;
      const payload = attestationStatement(
        {
          session: SESSION,
          stage,
          range,
          role: place === 0 ? 'primary' : 'shadow',
          record: 1,
          model: route.model,
          numericClass,
          runtime: { name: manifest.pins.runtime, version: manifest.pins.runtimeVersion },
          positions,
          inputAt: (end) => each.span(0, end).chains.inputTo,
          outputAt: (end) => each.span(0, end).chains.outputTo,
          runsAt: (end) => each.span(0, end).chains.shapes,
        },
        SALT,
        ISSUED_AT_MS + 2_000,
      );
      const envelope = await signEnvelope(identity, STATEMENT_PAYLOAD_TYPE, payload);
      attestations.push({ replica: identity.id, publicKey: identity.publicKey, envelope });
    }
  }

  const answer = text.decode(tokens.slice(promptTokens.length), promptTokens);
  const spans = spansOf(route, manifest, positions, exact);
  const evidence: Evidence = {
    route,
    envelope: await signEnvelope(people.server, ROUTE_PAYLOAD_TYPE, utf8(JSON.stringify(route))),
    salt: SALT,
    tokens,
    promptTokens: promptTokens.length,
    sampling: SAMPLING,
    maxNewTokens: count,
    anchor: new Uint8Array(32),
    positions,
    runs,
    spans,
    tier: 'checked',
    counts: { checked: spans.length, settled: 0, unchecked: 0, disputed: 0 },
    faults: [],
    record: 1,
    attestations,
    startedAtMs: ISSUED_AT_MS + 500,
    finishedAtMs: ISSUED_AT_MS + 1_900,
  };
  const parts: ReceiptParts = {
    evidence,
    manifest,
    manifestDigest: route.model,
    text,
    prompt: asked,
    answer,
    requester: { kind: 'cli', identity: people.requester },
    serverKey: people.server.publicKey,
    random: (bytes) => new Uint8Array(bytes),
    previous: null,
    verify: verifySignature,
  };
  const receipt = await logReceipt(people, await signReceipt(await buildReceipt(parts), people.requester));
  return { receipt, tokens, salt: SALT, answer };
}

interface Stage {
  readonly range: StageRange;
  readonly primary: StageCompute;
  readonly shadow: StageCompute;
  readonly tape: StageTape;
}

async function openBoth({ openStage, withdrawn = [] }: Play, range: StageRange, positions: number) {
  const [primary, shadow] = [await openStage(range), await openStage(range)];
  for (const compute of [primary, shadow]) await compute.open(SESSION, positions + 1 + withdrawn.length);
  const kind: 'tokens' | 'hidden' = range.embedding ? 'tokens' : 'hidden';
  return { primary, shadow, tape: new StageTape(kind) };
}

/** The same in chunks. */
async function runShadow(
  compute: StageCompute,
  primary: StageTape,
  range: StageRange,
  positions: number,
): Promise<StageTape> {
  const tape = new StageTape(range.embedding ? 'tokens' : 'hidden');
  let start = 0;
  for (const end of attestedEnds(positions)) {
    const { inputs } = primary.span(start, end);
    const bytes = concatBytes(...inputs);
    const input: Rows = { kind: range.embedding ? 'tokens' : 'hidden', start, count: end - start, bytes };
    for (let at = start; at < end; at++) {
      const logitsFrom = primary.logitsFrom(at, at + 1);
      const row: Rows = { ...input, start: at, count: 1, bytes: inputs[at - start]! };
      tape.take(row, logitsFrom);
    }
    const logitsFrom = tape.logitsFrom(start, end);
    tape.complete(end, (await compute.run({ session: SESSION, input, logitsFrom })).output);
    start = end;
  }
  return tape;
}

function routeOf(people: People, { ranges, manifestBytes }: Play, capacity: number, numericClass: string): Route {
  const replica = (place: number) => ({ id: people.replicas[place]!.id, webrtc: false, numericClass });
  return {
    session: SESSION,
    purpose: 'answer',
    model: digestOf(manifestBytes),
    requester: { id: people.requester.id, webrtc: false },
    capacity,
    issuedAtMs: ISSUED_AT_MS,
    expiresAtMs: ISSUED_AT_MS + 600_000,
    stages: ranges.map((range, stage) => ({
      range,
      primary: replica(2 * stage),
      shadows: [replica(2 * stage + 1)],
      predictedMs: 1,
    })),
    notes: [],
  };
}

function spansOf({ stages }: Route, { config }: Manifest, positions: number, exact: readonly boolean[]): SpanCheck[] {
  const checks = stages.map(({ range, primary, shadows: [shadow] }, stage) => {
    const isExact = exact[stage]!;
    const { numericClass } = primary;
    const { isRefused: _, ...threshold } = thresholdFor(
      numericClass,
      numericClass,
      range.head ? 'logits' : 'hidden',
      config,
    );
    const finding: Finding = {
      shadow: shadow!.id,
      shadowClass: numericClass,
      outcome: 'agreed',
      isExact,
      closeness: isExact ? EXACT : { median: 1e-9, p95: 1e-9, max: 1e-9, bias: 1e-12, norm: 1, tokenGap: 0 },
      threshold,
      draws: null,
    };
    return {
      stage,
      range,
      tier: 'checked' as const,
      primary: primary.id,
      primaryClass: numericClass,
      findings: [finding],
      arbiter: null,
      reason: null,
      drawnBy: null,
    };
  });
  const ends = attestedEnds(positions);
  return ends.map((end, i) => ({ start: ends[i - 1] ?? 0, end, tier: 'checked', stages: checks }));
}
