import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, utf8 } from '../bytes.ts';
import { readF32, rowValues, SKETCH_BYTES, sketchRows } from '../judge/sketch.ts';
import { SKETCH_SIZE, TOP_K } from '../limits.ts';
import type { Manifest } from '../model/manifest.ts';
import type { StageRange } from '../model/stage.ts';
import { readCandidates, type Candidates } from '../rows/logits-row.ts';
import { MAX_CLAIM_ROWS } from './claim.ts';

const PICK_DOMAIN = utf8('chorus-credit-pick/1');
const ROW_DOMAIN = utf8('chorus-credit-row/1');
const TOKEN_DOMAIN = utf8('chorus-credit-token/1');
/** As of the sketches that requesters see (judge/sketch.ts). */
const WEIGHT = 0.25;

/** A position with the rows that a stage took in and gave there. */
export interface ClaimedRow {
  readonly position: number;
  readonly input: Uint8Array<ArrayBuffer>;
  /** Not empty. */
  readonly output: Uint8Array<ArrayBuffer>;
}

/** How a stage sketches the rows that it claims credit for; its manifest says how rows are to be read. */
export interface ClaimSketcher {
  readonly range: StageRange;
  readonly manifest: Pick<Manifest, 'config' | 'pins'>;
  /** The divisor of each channel. */
  readonly scale: Float32Array<ArrayBuffer>;
}

/**
 * Sketches of at most MAX_CLAIM_ROWS of these rows, which the seed picks, in the order of their positions: f32 little-endian
 * [n, SKETCH_SIZE]. Hidden rows are sketched by their update (output less input; at the first stage the output), logits by how
 * far each candidate lies above the last one, so that the order of the last does not matter. Each row has signs and a size of
 * its own, by the seed and its position: to those who do not know the seed, two sketches have nothing in common whatever the
 * rows are, and the length of one says next to nothing. Throws `bad-message` for rows that cannot be read.
 */
export function sketchClaim(
  rows: readonly ClaimedRow[],
  seed: Uint8Array,
  sketcher: ClaimSketcher,
): Uint8Array<ArrayBuffer> {
  return concatBytes(...pickRows(rows, seed).map((row) => sketchRow(row, seed, sketcher)));
}

/** One of each of MAX_CLAIM_ROWS equal parts; all, if they are no more. */
export function pickRows<Row>(rows: readonly Row[], seed: Uint8Array): Row[] {
  if (rows.length <= MAX_CLAIM_ROWS) return [...rows];
  return Array.from({ length: MAX_CLAIM_ROWS }, (_, part) => {
    const [low, high] = [part, part + 1].map((each) => Math.floor((each * rows.length) / MAX_CLAIM_ROWS)) as [
      number,
      number,
    ];
    const drawn = uint32At(hash(PICK_DOMAIN, seed, part), 0) / 2 ** 32;
    return rows[low + Math.floor(drawn * (high - low))]!;
  });
}

function sketchRow(
  { position, input, output }: ClaimedRow,
  seed: Uint8Array,
  { range, manifest, scale }: ClaimSketcher,
): Uint8Array<ArrayBuffer> {
  const { config, pins } = manifest;
  const rowSeed = hash(ROW_DOMAIN, seed, position);
  if (range.head) {
    const count = Math.min(TOP_K, config.vocabularySize);
    return resized(sketchLogits(readCandidates(output, config.vocabularySize, count), rowSeed), rowSeed);
  }
  const values = rowValues(output, pins.boundary);
  const base = range.embedding ? null : rowValues(input, pins.boundary);
  const update = base === null ? values : values.map((value, channel) => value - base[channel]!);
  return resized(readF32(sketchRows(update, config.hiddenSize, scale, rowSeed)), rowSeed);
}

/** z_j = 1/4 × the sum over the candidates of sign(j, token) × (their logit less the last one's). */
function sketchLogits({ tokens, logits }: Candidates, rowSeed: Uint8Array): Float64Array {
  const last = logits.at(-1)!;
  const sums = new Float64Array(SKETCH_SIZE);
  tokens.forEach((token, i) => {
    const signs = hash(TOKEN_DOMAIN, rowSeed, token);
    const above = WEIGHT * (logits[i]! - last);
    for (let j = 0; j < SKETCH_SIZE; j++) sums[j]! += ((signs[j >>> 3]! >>> (j & 7)) & 1) === 1 ? -above : above;
  });
  return sums;
}

/** Times a factor between 1/256 and 256 that the seed draws: no comparison of two sketches of a row depends on it. */
function resized(sketch: Float32Array | Float64Array, rowSeed: Uint8Array): Uint8Array<ArrayBuffer> {
  const factor = 2 ** ((rowSeed[0]! & 15) - 8) * (1 + uint32At(rowSeed, 4) / 2 ** 32);
  const bytes = new Uint8Array(SKETCH_BYTES);
  const view = new DataView(bytes.buffer);
  sketch.forEach((value, j) => view.setFloat32(4 * j, factor * value, true));
  return bytes;
}

function hash(domain: Uint8Array, secret: Uint8Array, number: number): Uint8Array {
  const counter = new Uint8Array(4);
  new DataView(counter.buffer).setUint32(0, number, true);
  return sha256(concatBytes(domain, secret, counter));
}

function uint32At(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + offset, 4).getUint32(0, true);
}
