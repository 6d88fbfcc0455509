import { expect, test } from 'vitest';
import { dequantize, unpackRows, type BlockMatrix } from '#shared/model/dequantize.ts';

const matrix: BlockMatrix = {
  ...{ rows: 2, columns: 32, bits: 4, blockSize: 16, rowBytes: 16, signed: false },
  quants: Uint8Array.from({ length: 32 }, (_, i) => (i & 15) | ((15 - (i & 15)) << 4)),
  scales: Float32Array.of(1, 2, 0.5, -1),
  zeroPoints: Uint8Array.of(8, 0, 15, 3),
};

/** One value, as the operators' definition has it. */
function valueAt(row: number, column: number): number {
  const byte = matrix.quants[row * 16 + (column >>> 1)]!;
  const quant = column % 2 === 0 ? byte & 15 : byte >>> 4;
  const block = row * 2 + Math.floor(column / 16);
  return (quant - (matrix.zeroPoints as Uint8Array)[block]!) * matrix.scales[block]!;
}

test('four-bit numbers are read lower half first, each block with its scale and zero point', () => {
  const values = dequantize(matrix, false);
  for (let row = 0; row < 2; row++) {
    for (let column = 0; column < 32; column++) expect(values[row * 32 + column]).toBe(valueAt(row, column));
  }
});

test('a transposed matrix holds the same values, column by column', () => {
  const values = dequantize(matrix, true);
  for (let row = 0; row < 2; row++) {
    for (let column = 0; column < 32; column++) expect(values[column * 2 + row]).toBe(valueAt(row, column));
  }
});

test('signed four-bit numbers run from -8 to 7', () => {
  const signed = dequantize({ ...matrix, signed: true, scales: new Float32Array(4).fill(1), zeroPoints: 0 }, false);
  expect([...signed.slice(14, 18)]).toEqual([7, -8, -8, 7]);
});

test('a product that f32 cannot hold is rounded once', () => {
  const scale = Math.fround(0.1);
  const bytes = { bits: 8, rowBytes: 32, quants: new Uint8Array(64).fill(255) } as const;
  const values = dequantize({ ...matrix, ...bytes, scales: new Float32Array(4).fill(scale), zeroPoints: 128 }, false);
  expect(values[0]).toBe(Math.fround(127 * scale));
});

test('rows of an odd number of packed zero points begin at whole bytes', () => {
  expect([...unpackRows(Uint8Array.of(0x21, 0xf3, 0x54, 0xf6), 4, 2, 3)]).toEqual([1, 2, 3, 4, 5, 6]);
});
