import type { PackableMatrix } from './packable-matrix.ts';
import { GGUF_BLOCKS, type GgufType } from './gguf-weight.ts';

type Form = Omit<PackableMatrix, 'rows' | 'columns' | 'quants'> & {
  /** Quants of the block that begins at byte `at`. */
  readonly unpack: (at: number, to: Uint8Array) => void;
};

/**
 * A GGUF tensor of `rows` × `columns` as the engine packs it: its weights are bit for bit those of llama.cpp's
 * dequantization, of which the operations and their order are the same. Throws RangeError where the bytes are no such tensor.
 */
export function ggufMatrix(type: GgufType, bytes: Uint8Array, rows: number, columns: number): PackableMatrix {
  const block = GGUF_BLOCKS[type];
  const perRow = columns / block.columns;
  if (!Number.isInteger(perRow) || bytes.length !== rows * perRow * block.bytes) {
    throw new RangeError(`${bytes.length} bytes are no ${type} of ${rows} × ${columns}`);
  }
  const { unpack, ...form } = formOf(type, bytes, rows * perRow);
  return {
    rows,
    columns,
    ...form,
    quants(row, to) {
      for (let i = 0; i < perRow; i++) {
        unpack((row * perRow + i) * block.bytes, to.subarray(i * block.columns, (i + 1) * block.columns));
      }
    },
  };
}

function formOf(type: GgufType, bytes: Uint8Array, blocks: number): Form {
  const halves = (offset: number) => halvesOf(bytes, GGUF_BLOCKS[type].bytes, blocks, offset);
  const scales = { kind: 'f16' as const, values: halves(type === 'Q6_K' ? 208 : 0) };
  switch (type) {
    case 'Q4_0':
      return { bits: 4, groupColumns: 32, scales, offsets: { kind: 'constant', zero: 8 }, unpack: fours(bytes, 2) };
    case 'Q4_1': {
      const offsets = { kind: 'minimumF16', values: halves(2) } as const;
      return { bits: 4, groupColumns: 32, scales, offsets, unpack: fours(bytes, 4) };
    }
    case 'Q5_0':
      return { bits: 5, groupColumns: 32, scales, offsets: { kind: 'constant', zero: 16 }, unpack: fives(bytes, 2) };
    case 'Q5_1': {
      const offsets = { kind: 'minimumF16', values: halves(2) } as const;
      return { bits: 5, groupColumns: 32, scales, offsets, unpack: fives(bytes, 4) };
    }
    case 'Q8_0': {
      const unpack = (at: number, to: Uint8Array) => {
        for (let i = 0; i < 32; i++) to[i] = bytes[at + 2 + i]! ^ 128;
      };
      return { bits: 8, groupColumns: 32, scales, offsets: { kind: 'constant', zero: 128 }, unpack };
    }
    case 'Q4_K':
    case 'Q5_K': {
      const bits = type === 'Q4_K' ? 4 : 5;
      const sixes = sixBits(bytes, GGUF_BLOCKS[type].bytes, blocks);
      return {
        bits,
        groupColumns: 32,
        scales: { kind: 'super', values: sixes.scales, supers: halves(0) },
        offsets: { kind: 'minimumSuper', values: sixes.minima, supers: halves(2) },
        unpack: bits === 4 ? foursOfMany(bytes) : fivesOfMany(bytes),
      };
    }
    case 'Q6_K': {
      const values = new Int8Array(16 * blocks);
      for (let i = 0; i < values.length; i++) values[i] = bytes[210 * (i >> 4) + 192 + (i & 15)]!;
      return {
        bits: 6,
        groupColumns: 16,
        scales: { kind: 'super', values, supers: scales.values },
        offsets: { kind: 'constant', zero: 32 },
        unpack: sixesOfMany(bytes),
      };
    }
  }
}

/** One half of each block, at byte `offset` of it. */
function halvesOf(bytes: Uint8Array, blockBytes: number, blocks: number, offset: number): Uint16Array {
  return Uint16Array.from({ length: blocks }, (_, i) => {
    const at = i * blockBytes + offset;
    return bytes[at]! | (bytes[at + 1]! << 8);
  });
}

/** 16 bytes with columns i in the lower halves and 16 + i in the upper ones. */
function fours(bytes: Uint8Array, offset: number): Form['unpack'] {
  return (at, to) => {
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + offset + i]!;
      to[i] = pair & 15;
      to[16 + i] = pair >> 4;
    }
  };
}

/** 32 fifth bits, the first column's lowest, then as `fours`. */
function fives(bytes: Uint8Array, offset: number): Form['unpack'] {
  const lower = fours(bytes, offset + 4);
  return (at, to) => {
    lower(at, to);
    for (let i = 0; i < 32; i++) to[i]! |= ((bytes[at + offset + (i >> 3)]! >> (i & 7)) & 1) << 4;
  };
}

/** 32 bytes for each 64 columns: the first 32 in the lower halves, the others in the upper ones. */
function foursOfMany(bytes: Uint8Array, offset = 16): Form['unpack'] {
  return (at, to) => {
    for (let i = 0; i < 128; i++) {
      const pair = bytes[at + offset + i]!;
      const column = 64 * (i >> 5) + (i & 31);
      to[column] = pair & 15;
      to[column + 32] = pair >> 4;
    }
  };
}

/** 32 bytes of fifth bits, byte i with a bit for column i of each 32, then as `foursOfMany`. */
function fivesOfMany(bytes: Uint8Array): Form['unpack'] {
  const lower = foursOfMany(bytes, 48);
  return (at, to) => {
    lower(at, to);
    for (let i = 0; i < 256; i++) to[i]! |= ((bytes[at + 16 + (i & 31)]! >> (i >> 5)) & 1) << 4;
  };
}

/** For each 128 columns 64 bytes of lower halves, and 32 of the two bits above them, four times 32 columns. */
function sixesOfMany(bytes: Uint8Array): Form['unpack'] {
  return (at, to) => {
    for (let column = 0; column < 256; column++) {
      const [part, quarter, i] = [column >> 7, (column >> 5) & 3, column & 31];
      const low = (bytes[at + 64 * part + 32 * (quarter & 1) + i]! >> (4 * (quarter >> 1))) & 15;
      const high = (bytes[at + 128 + 32 * part + i]! >> (2 * quarter)) & 3;
      to[column] = low | (high << 4);
    }
  };
}

/** 8 scales and 8 minima of 6 bits in the 12 bytes from byte 4 of a block: the last four of each have their upper two bits above those of the first. */
function sixBits(bytes: Uint8Array, blockBytes: number, blocks: number): { scales: Int8Array; minima: Uint8Array } {
  const scales = new Int8Array(8 * blocks);
  const minima = new Uint8Array(8 * blocks);
  for (let i = 0; i < scales.length; i++) {
    const [at, j] = [blockBytes * (i >> 3) + 4, i & 3];
    const [scale, minimum, rest] = [bytes[at + j]!, bytes[at + 4 + j]!, bytes[at + 8 + j]!];
    const isFirst = (i & 7) < 4;
    scales[i] = isFirst ? scale & 63 : (rest & 15) | ((scale >> 6) << 4);
    minima[i] = isFirst ? minimum & 63 : (rest >> 4) | ((minimum >> 6) << 4);
  }
  return { scales, minima };
}
