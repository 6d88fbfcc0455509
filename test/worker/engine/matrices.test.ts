import { create } from '@bufbuild/protobuf';
import { NodeProtoSchema, TensorProtoSchema, type NodeProto, type TensorProto } from 'onnx-buf';
import { describe, expect, test } from 'vitest';
import { dequantize } from '#shared/model/dequantize.ts';
import { intOf } from '#shared/model/node-attributes.ts';
import { quantizedWeight, readMatrix } from '#shared/model/quantized-weights.ts';
import { tensorByteLength } from '#shared/model/tensor-bytes.ts';
import { GGUF_BLOCKS, type GgufType } from '#shared/model/gguf-weight.ts';
import { ggufMatrix } from '#shared/model/gguf-matrix.ts';
import { unfoldMatrix } from '#shared/model/packable-matrix.ts';
import type { PackableMatrix } from '#shared/model/packable-matrix.ts';
import { packableWeight, packMatrix } from '../../../worker/engine/packed-matrix.ts';
import { bitsOf, EngineStand } from '../../support/engine-stand.ts';
import { ggufWeights } from '../../support/gguf-oracle.ts';
import { randomBytes, randomHalves } from '../../support/random-matrices.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

const UINT8 = 2;
const dataTypes = { uint8: UINT8, int8: 3, uint4: 21, int4: 22 } as const;
const blockSizes = [16, 32, 64, 128] as const;

interface OnnxKind {
  readonly operator: 'MatMulNBits' | 'GatherBlockQuantized';
  readonly bits: 4 | 8;
  readonly type: keyof typeof dataTypes;
  readonly zeros: 'none' | 'uint8' | 'uint4' | 'float32';
}

/** Packed bytes, numbers of 4 or 8 bits, and the zero points that belong to them. */
const onnxKinds: readonly OnnxKind[] = ([4, 8] as const).flatMap((bits) => [
  ...(['none', 'uint8', 'float32'] as const).map((zeros): OnnxKind => ({
    operator: 'MatMulNBits',
    bits,
    type: 'uint8',
    zeros,
  })),
  ...(['none', 'uint8'] as const).map((zeros): OnnxKind => ({
    operator: 'GatherBlockQuantized',
    bits,
    type: 'uint8',
    zeros,
  })),
  { operator: 'GatherBlockQuantized', bits, type: `int${bits}` as const, zeros: 'none' },
  ...(bits === 4
    ? (['none', 'uint4'] as const).map((zeros): OnnxKind => ({
        operator: 'GatherBlockQuantized',
        bits,
        type: 'uint4',
        zeros,
      }))
    : []),
]);

const random = createRandom(11);

/** A node with a weight of random bytes, by value name. */
function onnxWeight(
  { operator, bits, type, zeros }: OnnxKind,
  blockSize: number,
  scaleType: 'float32' | 'float16',
  rows: number,
  columns: number,
): { node: NodeProto; tensors: ReadonlyMap<string, TensorProto> } {
  const blocks = columns / blockSize;
  const isMatMul = operator === 'MatMulNBits';
  const tensors = new Map<string, TensorProto>();
  const add = (name: string, dataType: number, dims: readonly number[], rawData: Uint8Array<ArrayBuffer>): void => {
    tensors.set(name, create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData }));
  };
  const quants = randomBytes(random, (rows * columns * bits) / 8);
  const packed = type === 'uint8' ? (columns * bits) / 8 : columns;
  add('quants', dataTypes[type], isMatMul ? [rows, blocks, packed / blocks] : [rows, packed], quants);
  const count = rows * blocks;
  if (scaleType === 'float16') add('scales', 10, [rows, blocks], new Uint8Array(randomHalves(random, count).buffer));
  else add('scales', 1, [rows, blocks], new Uint8Array(randomValues(random, count, 1).buffer));
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  if (zeros === 'uint8') add('zeros', UINT8, [rows, zeroBytes], randomBytes(random, rows * zeroBytes));
  if (zeros === 'uint4') add('zeros', 21, [rows, blocks], randomBytes(random, Math.ceil(count / 2)));
  if (zeros === 'float32') {
    const values = Float32Array.from(randomBytes(random, count), (byte) => byte >> (8 - bits));
    add('zeros', 1, [rows, blocks], new Uint8Array(values.buffer));
  }
  const zeroInput = zeros === 'none' ? [] : ['zeros'];
  const node = create(NodeProtoSchema, {
    opType: operator,
    input: isMatMul ? ['x', 'quants', 'scales', ...zeroInput] : ['quants', 'ids', 'scales', ...zeroInput],
    attribute: Object.entries({ N: rows, K: columns, bits, block_size: blockSize }).map(([name, value]) =>
      intOf(name, value),
    ),
  });
  return { node, tensors };
}

/** Packs a matrix; gives its weights back, and the bytes that it holds. */
async function packed(matrix: PackableMatrix): Promise<{ weights: Float32Array<ArrayBuffer>; bytes: number }> {
  const stand = await EngineStand.open();
  const before = stand.memory.usedBytes;
  const placed = packMatrix(stand.memory, matrix);
  const bytes = stand.memory.usedBytes - before;
  return { weights: stand.unfold(placed), bytes };
}

describe.each(onnxKinds)('an ONNX $operator of $bits bits as $type, zero points $zeros,', (kind) => {
  test('unfolds to the weights of its file bit for bit, in hardly more memory', async () => {
    for (const blockSize of blockSizes) {
      for (const scaleType of ['float32', 'float16'] as const) {
        for (const [rows, columns] of [
          [256, 512],
          [7, 384],
          [1, 128],
        ] as const) {
          const { node, tensors } = onnxWeight(kind, blockSize, scaleType, rows, columns);
          const weight = quantizedWeight(node, (name) => tensors.get(name));
          const read = (tensor: TensorProto) => tensor.rawData;
          const { weights, bytes } = await packed(packableWeight(weight, read)!);
          const label = `${rows} × ${columns} in blocks of ${blockSize}, scales ${scaleType}`;
          expect(weight, label).toMatchObject({ rows, columns });
          expectSameBits(weights, dequantize(readMatrix(weight, read), false), label);
          const fileBytes = [...tensors.values()].reduce((sum, tensor) => sum + tensorByteLength(tensor), 0);
          if (rows === 256) expect(bytes / fileBytes, label).toBeLessThan(1.1);
        }
      }
    }
  });
});

test('an ONNX weight whose zero points lie between whole numbers is not packed', () => {
  const kind: OnnxKind = { operator: 'MatMulNBits', bits: 4, type: 'uint8', zeros: 'float32' };
  const { node, tensors } = onnxWeight(kind, 32, 'float32', 4, 64);
  tensors.get('zeros')!.rawData = new Uint8Array(new Float32Array(8).fill(7.5).buffer);
  const weight = quantizedWeight(node, (name) => tensors.get(name));
  expect(packableWeight(weight, (tensor) => tensor.rawData)).toBeNull();
});

test('an ONNX weight of another type than its bits is refused', () => {
  for (const [bits, type] of [
    [4, 'int8'],
    [8, 'uint4'],
  ] as const) {
    const { node, tensors } = onnxWeight({ operator: 'MatMulNBits', bits, type, zeros: 'none' }, 32, 'float32', 4, 64);
    expect(() => quantizedWeight(node, (name) => tensors.get(name))).toThrow(`${bits} bits as ${type}`);
  }
});

/** Random blocks whose scales are numbers: halves that are infinite or NaN get another exponent. */
function ggufBytes(type: GgufType, blocks: number): Uint8Array<ArrayBuffer> {
  const { bytes: size } = GGUF_BLOCKS[type];
  const bytes = randomBytes(random, blocks * size);
  const halves = type === 'Q6_K' ? [208] : type.endsWith('K') || type.endsWith('1') ? [0, 2] : [0];
  for (let block = 0; block < blocks; block++) {
    for (const at of halves) bytes[block * size + at + 1]! &= 0xbf;
  }
  return bytes;
}

describe.each(Object.keys(GGUF_BLOCKS) as GgufType[])('a GGUF tensor of type %s', (type) => {
  test('unfolds to the weights of its file bit for bit, in hardly more memory', async () => {
    for (const [rows, columns] of [
      [256, 512],
      [7, 256],
      [1, 768],
    ] as const) {
      const bytes = ggufBytes(type, (rows * columns) / GGUF_BLOCKS[type].columns);
      const matrix = ggufMatrix(type, bytes, rows, columns);
      const made = await packed(matrix);
      const weights = ggufWeights(type, bytes);
      expectSameBits(made.weights, weights, `${rows} × ${columns}`);
      expectSameBits(unfoldMatrix(matrix, false), weights, `${rows} × ${columns}, unfolded without the engine`);
      const turned = unfoldMatrix(matrix, true);
      const at = (i: number) => (i % rows) * columns + Math.floor(i / rows);
      expectSameBits(
        turned,
        weights.map((_, i) => weights[at(i)]!),
        `${rows} × ${columns}, transposed`,
      );
      if (rows === 256) expect(made.bytes / bytes.length).toBeLessThan(1.1);
    }
  });

  test('is refused where its bytes do not make up its rows', () => {
    const bytes = ggufBytes(type, 4);
    const { columns } = GGUF_BLOCKS[type];
    expect(() => ggufMatrix(type, bytes, 3, columns)).toThrow(RangeError);
    expect(() => ggufMatrix(type, bytes, 8, columns / 2)).toThrow(RangeError);
  });
});

test('a matrix that no product is there for is refused when it is packed', async () => {
  const { memory } = await EngineStand.open();
  const matrix = ggufMatrix('Q5_0', ggufBytes('Q5_0', 4), 4, 32);
  for (const changed of [{ groupColumns: 16 }, { groupColumns: 48 }, { bits: 6 as const }, { columns: 48 }]) {
    expect(() => packMatrix(memory, { ...matrix, ...changed })).toThrow(RangeError);
  }
});

/** Of a quarter of a million numbers, an array comparison of the test runner takes too long. */
function expectSameBits(actual: Float32Array, expected: Float32Array, label: string): void {
  expect(actual.length, label).toBe(expected.length);
  const [a, b] = [bitsOf(actual), bitsOf(expected)];
  const first = a.findIndex((value, i) => value !== b[i]);
  expect(first === -1 ? null : { first, is: actual[first], should: expected[first] }, label).toBeNull();
}
