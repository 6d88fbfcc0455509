import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { sketchRows } from '#shared/judge/sketch.ts';
import { commitBytes, revealBytes } from '#shared/judge/statement-codec.ts';
import type { Testimony, Commit, Reveal } from '#shared/judge/statement.ts';
import { logitsRowBytes } from '#shared/rows/logits-row.ts';
import { CHAIN_START, foldRows, foldTail, ShapeChain, splitRows } from '#shared/rows/row-chain.ts';
import { normal } from './normal.ts';

/** A chunk of a made-up stage: what went in and what came out, f32 [count, hiddenSize]. */
export interface Chunk {
  readonly hiddenSize: number;
  readonly input: Float32Array<ArrayBuffer>;
  readonly output: Float32Array<ArrayBuffer>;
}

/** Random rows and a random update of the same size on top of them. */
export function makeChunk(seed: number, hiddenSize = 128, count = 32): Chunk {
  const random = normal(seed);
  const input = Float32Array.from({ length: count * hiddenSize }, random);
  return { hiddenSize, input, output: input.map((value) => value + random()) };
}

const bytesOf = (values: Float32Array<ArrayBuffer>) => new Uint8Array(values.buffer);

export interface SpokenChunk {
  readonly seed?: Uint8Array<ArrayBuffer>;
  readonly session?: SessionId;
  readonly opening?: Uint8Array<ArrayBuffer>;
  readonly stage?: number;
  readonly numericClass?: string;
  /** Sizes of the runs, in order. */
  readonly runs?: readonly number[];
  readonly index?: number;
}

/** Statements on the first span of a session whose stage made this chunk; rows are f32 on the wire, all scales are 1. */
export function speak(chunk: Chunk, options: SpokenChunk = {}): { commit: Commit; reveal: Reveal } {
  const { hiddenSize, input, output } = chunk;
  const count = input.length / hiddenSize;
  const ones = new Float32Array(hiddenSize).fill(1);
  const spoken = statements(count, options);
  return {
    commit: {
      ...spoken.commit,
      inputTo: foldRows(CHAIN_START, splitRows(bytesOf(input), count)),
      outputTo: foldRows(CHAIN_START, splitRows(bytesOf(output), count)),
    },
    reveal: {
      ...spoken.reveal,
      input: sketchRows(input, hiddenSize, ones, spoken.reveal.seed),
      output: sketchRows(output, hiddenSize, ones, spoken.reveal.seed),
    },
  };
}

/** As `speak`, of a head that gave the logits of the last rows; `rows` are their bytes. */
export function speakLogits(
  { hiddenSize, input }: Chunk,
  rows: readonly Uint8Array<ArrayBuffer>[],
  options: SpokenChunk = {},
): { commit: Commit; reveal: Reveal } {
  const count = input.length / hiddenSize;
  const spoken = speak({ hiddenSize, input, output: input }, options);
  const output = new Uint8Array(rows.flatMap((row) => [...row]));
  return {
    commit: { ...spoken.commit, outputTo: foldTail(CHAIN_START, count, rows) },
    reveal: { ...spoken.reveal, output },
  };
}

function statements(count: number, options: SpokenChunk): { commit: Commit; reveal: Reveal } {
  const { session = 'ab'.repeat(16) as SessionId, stage = 1, seed = new Uint8Array(32).fill(3), index = 1 } = options;
  const { opening = new Uint8Array(16).fill(5) } = options;
  const shapes = new ShapeChain();
  let start = 0;
  for (const run of options.runs ?? [count]) {
    shapes.append(start, run);
    start += run;
  }
  const span = { session, opening, epoch: 0, index, start: 0, end: count, stage };
  const none = new Uint8Array(0);
  const chains = { inputFrom: CHAIN_START, inputTo: CHAIN_START, outputFrom: CHAIN_START, outputTo: CHAIN_START };
  return {
    commit: { ...span, ...chains, shapes: shapes.at(count) },
    reveal: { ...span, seed, input: none, output: none },
  };
}

/** One logits row over a vocabulary of as many tokens as there are logits. */
export function logitsRow(logits: readonly number[]): Uint8Array<ArrayBuffer> {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const row = new Uint8Array(logitsRowBytes(logits.length));
  const view = new DataView(row.buffer);
  view.setFloat32(0, Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)), true);
  order.forEach((token, i) => {
    view.setUint32(4 + 8 * i, token, true);
    view.setFloat32(8 + 8 * i, logits[token]!, true);
  });
  return row;
}

/** A testimony that nobody signed. */
export function unsigned(spoken: { commit: Commit; reveal: Reveal }, numericClass: string, peer = 'peer'): Testimony {
  const seal = { publicKey: new Uint8Array(32), signature: new Uint8Array(64) };
  return {
    peer: peer as PeerId,
    numericClass,
    commit: { statement: spoken.commit, ...seal },
    reveal: { statement: spoken.reveal, ...seal },
  };
}

export async function signed(
  { commit, reveal }: { commit: Commit; reveal: Reveal },
  identity: Identity,
  numericClass: string,
): Promise<Testimony> {
  const { id, publicKey } = identity;
  const sign = async <Statement>(statement: Statement, bytes: Uint8Array<ArrayBuffer>) => {
    return { statement, publicKey, signature: await identity.sign(bytes) };
  };
  const [signedCommit, signedReveal] = [
    await sign(commit, commitBytes(commit)),
    await sign(reveal, revealBytes(reveal)),
  ];
  return { peer: id, numericClass, commit: signedCommit, reveal: signedReveal };
}
