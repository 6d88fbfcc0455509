import { encodeF16 } from '#shared/model/f16.ts';
import type { PackableMatrix } from '#shared/model/packable-matrix.ts';
import { randomValues } from './synthetic-weights.ts';

export type Kind = Pick<PackableMatrix, 'bits' | 'groupColumns'> & {
  readonly scales: PackableMatrix['scales']['kind'];
  readonly offsets: PackableMatrix['offsets']['kind'];
};

const forms: readonly Pick<Kind, 'bits' | 'groupColumns'>[] = [
  ...([4, 6, 8] as const).map((bits) => ({ bits, groupColumns: 16 })),
  ...([4, 5, 8] as const).flatMap((bits) => [32, 64, 128].map((groupColumns) => ({ bits, groupColumns }))),
];

/** Every kind of matrix that the engine has a product for. */
export const matrixKinds: readonly Kind[] = forms.flatMap((form) =>
  (['f32', 'f16', 'super'] as const).flatMap((scales) =>
    (['constant', 'u8', 'minimumF32', 'minimumF16', 'minimumSuper'] as const)
      .map((offsets) => ({ ...form, scales, offsets }))
      .filter((kind) => form.groupColumns <= 32 || (kind.scales !== 'super' && kind.offsets !== 'minimumSuper')),
  ),
);

export function randomBytes(random: () => number, count: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: count }, () => 256 * random());
}

/** Halves that are numbers, subnormal ones among them. */
export function randomHalves(random: () => number, count: number, deviation = 1): Uint16Array<ArrayBuffer> {
  const values = randomValues(random, count, deviation).map((value) => (random() < 0.02 ? value * 1e-6 : value));
  return new Uint16Array(encodeF16(values).buffer);
}

/** A matrix of the kind, with numbers by chance. */
export function randomMatrix(random: () => number, kind: Kind, rows: number, columns: number): PackableMatrix {
  const { bits, groupColumns } = kind;
  const groups = (rows * columns) / groupColumns;
  const supers = rows * Math.ceil(columns / 256);
  const levels = randomBytes(random, rows * columns).map((byte) => byte >> (8 - bits));
  const zero = 1 << (bits - 1);
  const scales = (): PackableMatrix['scales'] => {
    switch (kind.scales) {
      case 'f32':
        return { kind: 'f32', values: randomValues(random, groups, 1) };
      case 'f16':
        return { kind: 'f16', values: randomHalves(random, groups) };
      case 'super':
        return {
          kind: 'super',
          values: new Int8Array(randomBytes(random, groups).buffer),
          supers: randomHalves(random, supers, 1 / 64),
        };
    }
  };
  const offsets = (): PackableMatrix['offsets'] => {
    switch (kind.offsets) {
      case 'constant':
        return { kind: 'constant', zero };
      case 'u8':
        return { kind: 'u8', values: randomBytes(random, groups).map((byte) => byte >> (8 - bits)) };
      case 'minimumF32':
        return { kind: 'minimumF32', values: randomValues(random, groups, zero) };
      case 'minimumF16':
        return { kind: 'minimumF16', values: randomHalves(random, groups, zero) };
      case 'minimumSuper':
        return {
          kind: 'minimumSuper',
          values: randomBytes(random, groups),
          supers: randomHalves(random, supers, zero / 128),
        };
    }
  };
  return {
    rows,
    columns,
    bits,
    groupColumns,
    quants: (row, to) => to.set(levels.subarray(row * columns, (row + 1) * columns)),
    scales: scales(),
    offsets: offsets(),
  };
}
