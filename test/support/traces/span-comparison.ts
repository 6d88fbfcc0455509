import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '#shared/bytes.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { channelScale } from '#shared/judge/channel-scale.ts';
import { candidatesOf, type OutputKind } from '#shared/judge/closeness.ts';
import type { Sampled } from '#shared/judge/draws.ts';
import { rowValues, sketchRows } from '#shared/judge/sketch.ts';
import { NO_OPENING } from '#shared/judge/statement-codec.ts';
import type { Testimony, Commit, Reveal } from '#shared/judge/statement.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { CHAIN_START, foldRows, ShapeChain, splitRows } from '#shared/rows/row-chain.ts';
import { sampleToken, type Sampling } from '#shared/rows/sampler.ts';

/** A session as one replica holds it: its input and output rows, one for each position, and its runs. */
export interface ReplicaRows {
  readonly numericClass: string;
  readonly input: readonly Uint8Array<ArrayBuffer>[];
  readonly output: readonly Uint8Array<ArrayBuffer>[];
  readonly plan: readonly number[];
}

export interface ComparedSpan {
  readonly manifest: Manifest;
  readonly range: StageRange;
  readonly start: number;
  readonly end: number;
  readonly seed: Uint8Array<ArrayBuffer>;
}

/** Rows of the `input` of a whole session, of which `plan` ran the first positions and gave `output`. */
export function replicaRows(
  numericClass: string,
  input: readonly Uint8Array<ArrayBuffer>[],
  output: Uint8Array<ArrayBuffer>,
  plan: readonly number[],
): ReplicaRows {
  const positions = plan.reduce((sum, count) => sum + count, 0);
  return { numericClass, input: input.slice(0, positions), output: splitRows(output, positions), plan };
}

export const spanSeed = (name: string): Uint8Array<ArrayBuffer> => sha256(utf8(name));

/**
 * The testimony of a replica that computed these rows, unsigned: both of its chains begin at the span, so that two
 * testimonies agree bit for bit exactly where their rows of this span do.
 */
export function testimonyOf(replica: ReplicaRows, span: ComparedSpan): Testimony {
  const { manifest, range, start, end, seed } = span;
  const { hiddenSize } = manifest.config;
  const header = {
    session: '00'.repeat(16) as SessionId,
    opening: NO_OPENING,
    epoch: 0,
    index: 1,
    start,
    end,
    stage: 0,
  };
  const input = replica.input.slice(start, end);
  const output = replica.output.slice(start, end);
  const sketch = (rows: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> =>
    sketchRows(rowValues(joined(rows), manifest.pins.boundary), hiddenSize, channelScale(manifest), seed);
  const commit: Commit = {
    ...header,
    inputFrom: CHAIN_START,
    inputTo: foldRows(CHAIN_START, input),
    outputFrom: CHAIN_START,
    outputTo: foldRows(CHAIN_START, output),
    shapes: shapesAt(replica.plan, end),
  };
  const reveal: Reveal = {
    ...header,
    seed,
    input: range.embedding ? new Uint8Array() : sketch(input),
    output: range.head ? joined(output) : sketch(output),
  };
  const unsigned = { publicKey: new Uint8Array(32), signature: new Uint8Array(64) };
  return {
    peer: '00'.repeat(32) as PeerId,
    numericClass: replica.numericClass,
    commit: { statement: commit, ...unsigned },
    reveal: { statement: reveal, ...unsigned },
  };
}

/** How a stage's output is compared; at the head with what `sampling` draws from the primary's logits. */
export function outputKind(
  range: StageRange,
  manifest: Manifest,
  primary: Reveal,
  sampling: Sampling | null,
): OutputKind {
  if (!range.head) return { kind: 'hidden' };
  const { vocabularySize } = manifest.config;
  return { kind: 'logits', vocabularySize, sampled: sampling && sampledFrom(primary, vocabularySize, sampling) };
}

function sampledFrom(primary: Reveal, vocabularySize: number, sampling: Sampling): Sampled | null {
  try {
    const rows = candidatesOf(primary, vocabularySize);
    return { sampling, tokens: rows.map((row, i) => sampleToken(row, sampling, primary.start + i + 1).token) };
  } catch {
    return null;
  }
}

export function shapesAt(plan: readonly number[], end: number): Uint8Array<ArrayBuffer> {
  const shapes = new ShapeChain();
  let start = 0;
  for (const count of plan) {
    shapes.append(start, count);
    start += count;
  }
  return shapes.at(end);
}

export function joined(rows: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(rows.reduce((sum, row) => sum + row.length, 0));
  let offset = 0;
  for (const row of rows) {
    whole.set(row, offset);
    offset += row.length;
  }
  return whole;
}
