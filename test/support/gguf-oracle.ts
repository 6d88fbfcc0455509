import { decodeF16 } from '#shared/model/f16.ts';
import { GGUF_BLOCKS, type GgufType } from '#shared/model/gguf-weight.ts';

/**
 * The weights of GGUF blocks, from the format's definition, one by one: half-precision scales as f32, and each operation
 * rounded to f32 in the order of ggml's dequantization (the sub-block's scale first, then times the quant, then the minimum).
 */
export function ggufWeights(type: GgufType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { bytes: size, columns } = GGUF_BLOCKS[type];
  const blocks = bytes.length / size;
  const values = new Float32Array(blocks * columns);
  for (let block = 0; block < blocks; block++) {
    const weight = readers[type](bytes.subarray(block * size, (block + 1) * size));
    for (let i = 0; i < columns; i++) values[block * columns + i] = weight(i);
  }
  return values;
}

type Reader = (block: Uint8Array) => (column: number) => number;

const half = (block: Uint8Array, at: number): number => decodeF16(block.subarray(at, at + 2))[0]!;
const { fround } = Math;
/** Bit `index` of the bytes from `at` on, the lowest of each byte first. */
const bit = (block: Uint8Array, at: number, index: number): number => (block[at + (index >> 3)]! >> (index & 7)) & 1;
/** Quants of 4 bits of which the second half of `count` lies above the first. */
const four = (block: Uint8Array, at: number, count: number, column: number): number => {
  const within = column % count;
  const byte = block[at + ((column - within) / count) * (count / 2) + (within % (count / 2))]!;
  return within < count / 2 ? byte % 16 : Math.floor(byte / 16);
};

/** Scale and minimum j of 6 bits, as Q4_K and Q5_K have them: the upper two bits of the last four lie above the first four. */
function sixBits(block: Uint8Array, j: number): [scale: number, minimum: number] {
  const packed = block.subarray(4, 16);
  if (j < 4) return [packed[j]! % 64, packed[j + 4]! % 64];
  const low = packed[j + 4]!;
  return [(low % 16) + 16 * Math.floor(packed[j - 4]! / 64), Math.floor(low / 16) + 16 * Math.floor(packed[j]! / 64)];
}

/** d × scale × quant − dmin × minimum. */
function withMinimum(block: Uint8Array, quant: (column: number) => number): (column: number) => number {
  const [d, dmin] = [half(block, 0), half(block, 2)];
  return (column) => {
    const [scale, minimum] = sixBits(block, column >> 5);
    return fround(fround(fround(d * scale) * quant(column)) - fround(dmin * minimum));
  };
}

const readers: Readonly<Record<GgufType, Reader>> = {
  Q4_0: (block) => (column) => fround((four(block, 2, 32, column) - 8) * half(block, 0)),
  Q4_1: (block) => (column) => fround(fround(four(block, 4, 32, column) * half(block, 0)) + half(block, 2)),
  Q5_0: (block) => (column) => fround((four(block, 6, 32, column) + 16 * bit(block, 2, column) - 16) * half(block, 0)),
  Q5_1: (block) => (column) =>
    fround(fround((four(block, 8, 32, column) + 16 * bit(block, 4, column)) * half(block, 0)) + half(block, 2)),
  Q8_0: (block) => (column) => fround(((block[2 + column]! << 24) >> 24) * half(block, 0)),
  Q4_K: (block) => withMinimum(block, (column) => four(block, 16, 64, column)),
  Q5_K: (block) =>
    withMinimum(
      block,
      (column) => four(block, 48, 64, column) + 16 * ((block[16 + (column % 32)]! >> (column >> 5)) & 1),
    ),
  Q6_K: (block) => (column) => {
    // Of 128 columns, the first 64 have their lower bits in the lower halves of 64 bytes, the others in the upper ones.
    const low = four(block, 0, 128, column);
    const pairs = block[128 + 32 * (column >> 7) + (column & 31)]!;
    const quant = low + 16 * ((pairs >> (2 * ((column >> 5) & 3))) & 3) - 32;
    const scale = (block[192 + (column >> 4)]! << 24) >> 24;
    return fround(fround(half(block, 208) * scale) * quant);
  },
};
