import { create } from '@bufbuild/protobuf';
import { TensorProtoSchema, type TensorProto } from 'onnx-buf';
import { expect, it } from 'vitest';
import { readRange, type PieceSource } from '#shared/blobs/read-blobs.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import { matrixKey, type MatrixSource, type Plan } from '#shared/model/engine/plan.ts';
import { EngineMemory } from '../../../worker/engine/engine-memory.ts';
import { loadEngineModule } from '../../../worker/engine/engine-module.ts';
import { packableWeight, packMatrix } from '../../../worker/engine/packed-matrix.ts';
import { placeWeights } from '../../../worker/engine/place-weights.ts';
import { weightsInMemory } from '../../../worker/engine/weight-source.ts';
import { realClock } from '../../support/real-clock.ts';

/** More than a window of 8 MiB, and no whole number of them. */
const [ROWS, COLUMNS] = [2_500, 1024];

function tensor(name: string, dataType: number, dims: number[], rawData: Uint8Array<ArrayBuffer>): TensorProto {
  return create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData });
}

const planOf = (table: MatrixSource): Plan => {
  const to = { id: 0, width: COLUMNS, isWanted: false };
  const output = { slot: to, offset: 0, width: COLUMNS };
  return { steps: [{ type: 'gather', table, to }], input: null, output, layers: 0, kvHeads: 1, headSize: 4 };
};

async function placed(source: MatrixSource) {
  const memory = await EngineMemory.open(await loadEngineModule());
  const { matrices } = await placeWeights(
    memory,
    planOf(source),
    weightsInMemory((one) => one.rawData),
  );
  return { memory, matrix: matrices.get(matrixKey(source))! };
}

it('a plain matrix of several windows lies in memory row by row, turned where its file has it by columns', async () => {
  const values = new Float32Array(ROWS * COLUMNS).map((_, i) => i);
  const bytes = new Uint8Array(values.buffer);
  for (const isTurned of [false, true]) {
    const dims = isTurned ? [COLUMNS, ROWS] : [ROWS, COLUMNS];
    const { memory, matrix } = await placed({ kind: 'plain', tensor: tensor('w', 1, dims, bytes), isTurned });
    if (matrix.kind !== 'plain') throw new Error('packed');
    expect([matrix.rows, matrix.columns]).toEqual([ROWS, COLUMNS]);
    const floats = memory.floats(matrix.at, ROWS * COLUMNS);
    for (let row = 0; row < ROWS; row += 83) {
      for (let column = 0; column < COLUMNS; column += 31) {
        expect(floats[row * COLUMNS + column]).toBe(isTurned ? column * ROWS + row : row * COLUMNS + column);
      }
    }
  }
});

it('a quantized matrix of several windows is packed as one that is there whole', async () => {
  const rows = 8 * 1024 + 6;
  const quants = new Uint8Array(rows * COLUMNS).map((_, i) => (i * 7 + (i >> 10)) & 255);
  const scales = new Float32Array((rows * COLUMNS) / 32).map((_, i) => 1 + (i % 97));
  const weight = {
    quants: tensor('q', 2, [rows, COLUMNS / 32, 32], quants),
    scales: tensor('s', 1, [rows, COLUMNS / 32], new Uint8Array(scales.buffer)),
    ...{ zeroPoints: null, rows, columns: COLUMNS, bits: 8 as const, blockSize: 32 },
  };
  const { memory, matrix } = await placed({ kind: 'quantized', weight });
  const whole = await EngineMemory.open(await loadEngineModule());
  const expected = packMatrix(
    whole,
    packableWeight(weight, (one) => one.rawData)!,
  );
  if (matrix.kind !== 'packed') throw new Error('plain');
  expect(matrix.matrix).toMatchObject({ rows, columns: COLUMNS, scratchBytes: expected.scratchBytes });
  const length = whole.usedBytes - expected.at;
  expect(
    Buffer.compare(memory.bytes(matrix.matrix.at + 56, length - 56), whole.bytes(expected.at + 56, length - 56)),
  ).toBe(0);
});

it('a part of a blob is read without the rest, each piece checked, and damage in it is named', async () => {
  const bytes = new Uint8Array(3 * BLOB_PIECE_BYTES + 9).map((_, i) => i % 253);
  const pieces = [0, 1, 2, 3].map((i) => digestOf(bytes.slice(i * BLOB_PIECE_BYTES, (i + 1) * BLOB_PIECE_BYTES)));
  const ref = { digest: digestOf(bytes), bytes: bytes.length, pieces };
  const asked: number[] = [];
  const source = (of: Uint8Array<ArrayBuffer>): PieceSource => ({
    slice(start, end) {
      asked.push(start / BLOB_PIECE_BYTES);
      return { arrayBuffer: async () => of.slice(start, end).buffer };
    },
  });
  const range = [BLOB_PIECE_BYTES - 3, 2 * BLOB_PIECE_BYTES + 2] as const;
  const read = await readRange(ref, new Map([[ref.digest, source(bytes)]]), range, realClock);
  expect(Buffer.compare(read, bytes.slice(...range))).toBe(0);
  expect(asked).toEqual([0, 1, 2]);
  const spoiled = bytes.with(BLOB_PIECE_BYTES + 5, 255);
  await expect(readRange(ref, new Map([[ref.digest, source(spoiled)]]), range, realClock)).rejects.toMatchObject({
    ...{ code: 'digest-mismatch', details: { damaged: [{ digest: ref.digest, pieces: [1] }] } },
  });
});
