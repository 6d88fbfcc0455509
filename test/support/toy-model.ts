import { toBase64, utf8 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { ChorusError } from '#shared/errors.ts';
import type { SessionId } from '#shared/ids.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { RunRequest, RunResult, StageCompute } from '#shared/rows/compute.ts';
import { logitsRowBytes, readCandidates } from '#shared/rows/logits-row.ts';
import type { Rows } from '#shared/rows/rows.ts';
import { sampleToken, type Sampling } from '#shared/rows/sampler.ts';
import { unsignedSource } from './model-sources.ts';

const blob: BlobRef = { digest: digestOf(utf8('')), bytes: 0, pieces: [] };
export const TOY_LAYERS = 6;
export const TOY_VOCABULARY = 40;
const ROW_BYTES = 4;

/**
 * A model whose layers hash: what a layer makes of a position depends on every position before it, so that a wrong,
 * missing or doubled row anywhere changes all that follows. Token 0 ends an answer.
 */
export const toyManifest: Manifest = {
  format: 'chorus-manifest/3',
  name: 'toy',
  description: '',
  licence: '',
  parameters: 0,
  config: {
    architecture: 'toy',
    layers: TOY_LAYERS,
    hiddenSize: 1,
    vocabularySize: TOY_VOCABULARY,
    heads: 1,
    kvHeads: 1,
    headSize: 1,
    maxPositions: 2048,
    endTokens: [0],
  },
  pins: {
    runtime: 'onnxruntime-web',
    runtimeVersion: '0.0.0',
    quantization: 'fp32',
    blockSize: 0,
    accuracyLevel: 0,
    accumulation: 'f32',
    boundary: 'f32',
    kv: 'float32',
  },
  minStages: 2,
  graph: blob,
  parts: ['embedding', ...Array.from({ length: TOY_LAYERS }, (_, i) => `layer.${i}`), 'head'].map((name) => ({
    name,
    blob,
    weights: [],
    uses: [],
  })),
  tokenizer: { tokenizer: blob, config: blob },
  card: null,
  source: unsignedSource(),
  probe: {
    tokens: [1],
    boundaries: new Array<BlobRef>(TOY_LAYERS + 1).fill(blob),
    logits: blob,
    tolerance: 0.01,
    channelScale: toBase64(new Uint8Array(Float32Array.of(1).buffer)),
  },
};
export const toyManifestBytes = utf8(JSON.stringify(toyManifest));
export const toyDigest = digestOf(toyManifestBytes);

function mix(a: number, b: number): number {
  let x = (Math.imul(a, 0x9e3779b1) ^ (b + 0x7f4a7c15)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b) >>> 0;
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) >>> 0;
  return (x ^ (x >>> 16)) >>> 0;
}

/** One logits row for a last hidden value. */
function logitsRow(hidden: number): Uint8Array<ArrayBuffer> {
  const logits = Float32Array.from({ length: TOY_VOCABULARY }, (_, token) => (mix(hidden, token) % 8000) / 1000);
  // Answers should be long enough to be interrupted.
  logits[0]! -= 0.3;
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const row = new Uint8Array(logitsRowBytes(TOY_VOCABULARY));
  const view = new DataView(row.buffer);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  view.setFloat32(0, Math.log(total), true);
  order.forEach((token, i) => {
    view.setUint32(4 + 8 * i, token, true);
    view.setFloat32(8 + 8 * i, logits[token]!, true);
  });
  return row;
}

/** The KV of one session: for each layer, its hash after each position. */
class ToyKv {
  readonly #range: StageRange;
  readonly #layers: number[][];

  constructor(range: StageRange) {
    this.#range = range;
    this.#layers = Array.from({ length: range.end - range.start }, () => []);
  }

  get length(): number {
    return this.#layers[0]?.length ?? 0;
  }

  cut(position: number): void {
    for (const layer of this.#layers) layer.length = position;
  }

  step(input: number): number {
    return this.#layers.reduce((value, layer, i) => {
      // As bits of an f32 in [1, 2) or (-2, -1], so that hidden rows are numbers.
      const next = ((mix(mix(layer.at(-1) ?? 1, value), this.#range.start + i) & 0x807fffff) | 0x3f800000) >>> 0;
      layer.push(next);
      return next;
    }, input);
  }
}

/** A stage of the toy that takes `runMs` for each run, under a fake clock. */
export class ToyCompute implements StageCompute {
  readonly #range: StageRange;
  readonly #clock: Clock;
  readonly #sessions = new Map<SessionId, { readonly kv: ToyKv; readonly capacity: number }>();
  runMs = 2;
  /** Changes outputs as a dishonest or broken device does. */
  tamper: (output: Rows, session: SessionId) => Rows = (output) => output;
  /** Positions run in all, wasted ones included. */
  positions = 0;
  #isRunning = new Set<SessionId>();

  constructor(range: StageRange, clock: Clock) {
    this.#range = range;
    this.#clock = clock;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  async open(session: SessionId, capacity: number): Promise<void> {
    this.#sessions.set(session, { kv: new ToyKv(this.#range), capacity });
  }

  async run({ session, input, logitsFrom }: RunRequest): Promise<RunResult> {
    if (this.#isRunning.has(session)) throw new ChorusError('internal', 'two runs of one session at once');
    this.#isRunning.add(session);
    await new Promise<void>((resolve) => this.#clock.setTimer(resolve, this.runMs));
    this.#isRunning.delete(session);
    const found = this.#sessions.get(session);
    if (found === undefined) throw new ChorusError('unknown-session', 'no such session');
    if (input.start !== found.kv.length) throw new ChorusError('gap', `${input.start} is not ${found.kv.length}`);
    if (input.start + input.count > found.capacity) throw new ChorusError('too-long', 'beyond the capacity');
    this.positions += input.count;
    const view = new DataView(input.bytes.buffer, input.bytes.byteOffset, input.bytes.length);
    const values = Array.from({ length: input.count }, (_, i) => found.kv.step(view.getUint32(ROW_BYTES * i, true)));
    const timings = { queueUs: 0, decodeUs: 0, runUs: 1000 * this.runMs, encodeUs: 0 };
    const end = input.start + input.count;
    if (!this.#range.head) {
      const bytes = new Uint8Array(Uint32Array.from(values).buffer);
      const output: Rows = { kind: 'hidden', start: input.start, count: input.count, bytes };
      return { output: this.tamper(output, session), timings };
    }
    const start = Math.min(Math.max(logitsFrom, input.start), end);
    const rows = values.slice(start - input.start).map(logitsRow);
    const bytes = new Uint8Array(rows.flatMap((row) => [...row]));
    return { output: this.tamper({ kind: 'logits', start, count: end - start, bytes }, session), timings };
  }

  async cut(session: SessionId, position: number): Promise<void> {
    const kv = this.#sessions.get(session)?.kv;
    if (kv !== undefined && position > kv.length) throw new ChorusError('gap', `${position} is beyond ${kv.length}`);
    kv?.cut(position);
  }

  async close(session: SessionId): Promise<void> {
    this.#sessions.delete(session);
  }
}

export const GREEDY: Sampling = { temperature: 0, topP: 1, seed: 0 };

/** The answer of the uncut toy: tokens up to its end token (left out) or `count` of them. */
export function toyAnswer(prompt: readonly number[], count: number, sampling: Sampling = GREEDY): number[] {
  const kv = new ToyKv({ start: 0, end: TOY_LAYERS, embedding: true, head: true });
  let hidden = 0;
  for (const token of prompt) hidden = kv.step(token);
  const answer: number[] = [];
  while (answer.length < count) {
    const candidates = readCandidates(logitsRow(hidden), TOY_VOCABULARY, TOY_VOCABULARY);
    const { token } = sampleToken(candidates, sampling, prompt.length + answer.length);
    if (token === 0) break;
    answer.push(token);
    hidden = kv.step(token);
  }
  return answer;
}
