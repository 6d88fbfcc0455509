import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { GGUF_BLOCKS } from '#shared/model/gguf-weight.ts';

/** Types of blocks that weights are rounded to here. */
export type RoundedType = 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0';
export const BLOCK_COLUMNS = 32;

/** What rounding did to a run of weights. */
export interface RoundingError {
  /** Sum of the squares of the differences. */
  error: number;
  /** Sum of the squares of the weights. */
  power: number;
}

const { fround } = Math;

/** Scale and, where there is one, minimum, each f32 before it is kept as f16, and the quant of a value. */
interface Rule {
  readonly bits: 4 | 5 | 8;
  readonly hasMinimum: boolean;
  readonly rounded: (values: Float32Array, quants: Uint8Array) => { scale: number; minimum: number };
  /** The quant whose weight is 0, or the minimum. */
  readonly zero: number;
}

/**
 * Rounds f32 `values`, whole blocks of 32, to GGUF blocks in `to`: the numbers are those of ggml's reference (`quantize_row_*_ref`),
 * each step of it rounded to f32. Adds to `sums` how far they are from the values.
 */
export function quantizeBlocks(type: RoundedType, values: Float32Array, to: Uint8Array, sums: RoundingError): void {
  const rule = RULES[type];
  const { bytes: size } = GGUF_BLOCKS[type];
  const quants = new Uint8Array(BLOCK_COLUMNS);
  const pair = new Float32Array(2);
  for (let from = 0, at = 0; from < values.length; from += BLOCK_COLUMNS, at += size) {
    const block = values.subarray(from, from + BLOCK_COLUMNS);
    const { scale, minimum } = rule.rounded(block, quants);
    pair[0] = scale;
    pair[1] = minimum;
    const halves = encodeF16(pair);
    const kept = decodeF16(halves);
    to.set(rule.hasMinimum ? halves : halves.subarray(0, 2), at);
    writeQuants(rule, quants, to, at + (rule.hasMinimum ? 4 : 2));
    const [step, least] = [kept[0]!, rule.hasMinimum ? kept[1]! : 0];
    for (let i = 0; i < BLOCK_COLUMNS; i++) {
      const value = block[i]!;
      const off = value - ((quants[i]! - rule.zero) * step + least);
      sums.error += off * off;
      sums.power += value * value;
    }
  }
}

function writeQuants({ bits, zero }: Rule, quants: Uint8Array, to: Uint8Array, at: number): void {
  if (bits === 8) {
    for (let i = 0; i < BLOCK_COLUMNS; i++) to[at + i] = quants[i]! - zero;
    return;
  }
  let start = at;
  if (bits === 5) {
    for (let byte = 0; byte < 4; byte++) {
      let fifths = 0;
      for (let i = 0; i < 8; i++) fifths |= (quants[8 * byte + i]! >> 4) << i;
      to[start + byte] = fifths;
    }
    start += 4;
  }
  for (let i = 0; i < 16; i++) to[start + i] = (quants[i]! & 15) | ((quants[16 + i]! & 15) << 4);
}

/** Quants around the middle, so that the value farthest from 0 is the lowest one. */
function around(bits: 4 | 5): Rule {
  const middle = 1 << (bits - 1);
  const most = 2 * middle - 1;
  return {
    bits,
    hasMinimum: false,
    zero: middle,
    rounded(values, quants) {
      let [size, farthest] = [0, 0];
      for (const value of values) {
        if (Math.abs(value) <= size) continue;
        size = Math.abs(value);
        farthest = value;
      }
      const scale = fround(farthest / -middle);
      const inverse = scale === 0 ? 0 : fround(1 / scale);
      for (let i = 0; i < quants.length; i++)
        quants[i] = Math.min(most, fround(fround(values[i]! * inverse) + middle + 0.5));
      return { scale, minimum: 0 };
    },
  };
}

/** Quants above the block's least value. */
function above(bits: 4 | 5): Rule {
  const most = (1 << bits) - 1;
  return {
    bits,
    hasMinimum: true,
    zero: 0,
    rounded(values, quants) {
      let [least, greatest] = [Infinity, -Infinity];
      for (const value of values) {
        if (value < least) least = value;
        if (value > greatest) greatest = value;
      }
      const scale = fround(fround(greatest - least) / most);
      const inverse = scale === 0 ? 0 : fround(1 / scale);
      for (let i = 0; i < quants.length; i++)
        quants[i] = Math.min(most, fround(fround(fround(values[i]! - least) * inverse) + 0.5));
      return { scale, minimum: least };
    },
  };
}

const eight: Rule = {
  bits: 8,
  hasMinimum: false,
  zero: 128,
  rounded(values, quants) {
    let size = 0;
    for (const value of values) size = Math.max(size, Math.abs(value));
    const scale = fround(size / 127);
    const inverse = scale === 0 ? 0 : fround(1 / scale);
    // C's roundf goes away from zero where a value lies in the middle.
    for (let i = 0; i < quants.length; i++) {
      const scaled = fround(values[i]! * inverse);
      quants[i] = 128 + Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
    }
    return { scale, minimum: 0 };
  },
};

const RULES: Readonly<Record<RoundedType, Rule>> = {
  Q4_0: around(4),
  Q4_1: above(4),
  Q5_0: around(5),
  Q5_1: above(5),
  Q8_0: eight,
};
