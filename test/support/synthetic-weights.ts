import { encodeF16 } from '#shared/model/f16.ts';

/** Deterministic numbers in [0, 1): mulberry32. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` numbers, evenly spread with the given deviation. */
export function randomValues(random: () => number, count: number, deviation: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, () => (random() * 2 - 1) * deviation * Math.sqrt(3));
}

export function floatBytes(values: Float32Array, type: 'float32' | 'float16'): Uint8Array<ArrayBuffer> {
  return type === 'float16' ? encodeF16(values) : new Uint8Array(Float32Array.from(values).buffer);
}

export interface QuantizedBytes {
  /** [rows, columns / blockSize, blockSize * bits / 8] */
  readonly quants: Uint8Array<ArrayBuffer>;
  /** [rows * columns / blockSize] */
  readonly scales: Float32Array<ArrayBuffer>;
  /** [rows * ceil(blocks * bits / 8)] */
  readonly zeroPoints: Uint8Array<ArrayBuffer> | null;
}

/** Block quantization as MatMulNBits reads it, symmetric or with a zero point for each block. */
export function quantizeBlocks(
  values: Float32Array,
  rows: number,
  { bits, blockSize, withZeroPoints }: { bits: 4 | 8; blockSize: number; withZeroPoints: boolean },
): QuantizedBytes {
  const columns = values.length / rows;
  const blocks = columns / blockSize;
  const levels = 2 ** bits - 1;
  const quants = new Uint8Array((rows * columns * bits) / 8);
  const scales = new Float32Array(rows * blocks);
  const zeroRowBytes = Math.ceil((blocks * bits) / 8);
  const zeroPoints = withZeroPoints ? new Uint8Array(rows * zeroRowBytes) : null;
  const put = (target: Uint8Array, index: number, value: number): void => {
    if (bits === 8) target[index] = value;
    else target[index >>> 1] = (target[index >>> 1] ?? 0) | (value << (4 * (index & 1)));
  };
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const at = row * blocks + block;
      const part = values.subarray(at * blockSize, (at + 1) * blockSize);
      const low = Math.min(0, ...part);
      const high = Math.max(0, ...part);
      const peak = Math.max(-low, high);
      const scale = Math.fround((withZeroPoints ? high - low : 2 * peak) / levels) || 1;
      const zero = withZeroPoints ? Math.round(-low / scale) : 2 ** (bits - 1);
      scales[at] = scale;
      if (zeroPoints) put(zeroPoints, bits === 8 ? at : row * zeroRowBytes * 2 + block, zero);
      for (const [i, value] of part.entries()) {
        const quant = Math.min(levels, Math.max(0, Math.round(value / scale) + zero));
        put(quants, at * blockSize + i, quant);
      }
    }
  }
  return { quants, scales, zeroPoints };
}
