import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, utf8 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import { SKETCH_SIZE } from '../limits.ts';
import { decodeF16 } from '../model/f16.ts';
import type { Manifest } from '../model/manifest.ts';

export const SKETCH_BYTES = 4 * SKETCH_SIZE;
const DOMAIN = utf8('chorus-sketch/1');
/** 1 / sqrt(SKETCH_SIZE), so that a sketch is on average as long as its row. */
const WEIGHT = 0.25;
const F32_NAN = 0x7fc00000;

/**
 * Signs as +1 and -1, channel by channel and within one by sketch number [hiddenSize × SKETCH_SIZE]. Their bits are the
 * digests SHA-256("chorus-sketch/1" || seed || u32le n) for n = 0, 1, ... one after the other, the lowest bit of a byte
 * first; sign (j, channel c) is bit j × hiddenSize + c, 1 for minus.
 */
function signsOf(seed: Uint8Array, hiddenSize: number): Float64Array {
  const signs = new Float64Array(hiddenSize * SKETCH_SIZE);
  const block = concatBytes(DOMAIN, seed, new Uint8Array(4));
  const counter = new DataView(block.buffer, block.length - 4, 4);
  let digest: Uint8Array = sha256(block);
  for (let j = 0, bit = 0; j < SKETCH_SIZE; j++) {
    for (let c = 0; c < hiddenSize; c++, bit++) {
      if (bit === 256) {
        counter.setUint32(0, counter.getUint32(0, true) + 1, true);
        digest = sha256(block);
        bit = 0;
      }
      signs[c * SKETCH_SIZE + j] = ((digest[bit >>> 3]! >>> (bit & 7)) & 1) === 1 ? -1 : 1;
    }
  }
  return signs;
}

/**
 * Sketches of rows f32 [n, hiddenSize] as f32 little-endian [n, SKETCH_SIZE]: z_j = 1/4 × the sum over c of
 * sign(j, c) × row_c / scale_c, channels in rising order, every operation in IEEE 754 binary64, then rounded to binary32;
 * not-a-number is always 0x7fc00000. Equal rows thus give equal bytes on every platform. `scale` is the model's
 * `channelScale`. Throws `bad-message` if the values are not whole rows.
 */
export function sketchRows(
  values: Float32Array,
  hiddenSize: number,
  scale: Float32Array,
  seed: Uint8Array,
): Uint8Array<ArrayBuffer> {
  if (values.length % hiddenSize !== 0) throw new ChorusError('bad-message', 'values that are not whole rows');
  if (scale.length !== hiddenSize) throw new RangeError(`${scale.length} scales for ${hiddenSize} channels`);
  const count = values.length / hiddenSize;
  const signs = signsOf(seed, hiddenSize);
  const bytes = new Uint8Array(SKETCH_BYTES * count);
  const view = new DataView(bytes.buffer);
  const scaled = new Float64Array(hiddenSize);
  for (let row = 0; row < count; row++) {
    for (let c = 0; c < hiddenSize; c++) scaled[c] = values[row * hiddenSize + c]! / scale[c]!;
    // Four sums at a time, for one alone would wait for each of its additions.
    for (let j = 0; j < SKETCH_SIZE; j += 4) {
      let [z0, z1, z2, z3] = [0, 0, 0, 0];
      for (let c = 0, s = j; c < hiddenSize; c++, s += SKETCH_SIZE) {
        const x = scaled[c]!;
        z0 += x * signs[s]!;
        z1 += x * signs[s + 1]!;
        z2 += x * signs[s + 2]!;
        z3 += x * signs[s + 3]!;
      }
      [z0, z1, z2, z3].forEach((z, k) => {
        const offset = SKETCH_BYTES * row + 4 * (j + k);
        if (Number.isNaN(z)) view.setUint32(offset, F32_NAN, true);
        else view.setFloat32(offset, WEIGHT * z, true);
      });
    }
  }
  return bytes;
}

/** f32 values of hidden rows in the manifest's boundary type, exact. Throws `bad-message` on a torn value. */
export function rowValues(
  bytes: Uint8Array<ArrayBuffer>,
  boundary: Manifest['pins']['boundary'],
): Float32Array<ArrayBuffer> {
  if (bytes.length % (boundary === 'f16' ? 2 : 4) !== 0) {
    throw new ChorusError('bad-message', `rows of ${boundary} values end within one`);
  }
  return boundary === 'f16' ? decodeF16(bytes) : readF32(bytes);
}

/** f32 values of little-endian bytes, whatever their alignment. */
export function readF32(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  return new Float32Array(bytes.slice(0, bytes.length & ~3).buffer);
}
