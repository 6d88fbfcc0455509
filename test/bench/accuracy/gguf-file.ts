import { readFile } from 'node:fs/promises';

/** A tensor of a GGUF file: `columns` is the dimension that rows run along. */
export interface GgufTensor {
  readonly type: 'F32' | 'Q4_1' | 'Q8_0';
  readonly rows: number;
  readonly columns: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface GgufFile {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  tensor(name: string): GgufTensor;
}
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

/** Of the types here, in the numbers of the file: columns and bytes of a block. */
const TYPES = new Map([
  [0, { type: 'F32', columns: 1, bytes: 4 }],
  [3, { type: 'Q4_1', columns: 32, bytes: 20 }],
  [8, { type: 'Q8_0', columns: 32, bytes: 34 }],
] as const);
const ARRAY = 9;

/** Reads a GGUF file of version 3 whose tensors are of the types above. Throws for any other. */
export async function readGguf(path: string): Promise<GgufFile> {
  const file = new Uint8Array(await readFile(path));
  const cursor = new Cursor(file);
  if (cursor.text(4) !== 'GGUF' || cursor.u32() !== 3) throw new Error(`${path} is no GGUF file of version 3`);
  const [tensorCount, valueCount] = [cursor.u64(), cursor.u64()];
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < valueCount; i++) metadata.set(cursor.string(), cursor.value(cursor.u32()));
  const places = new Map<string, { dims: number[]; type: number; offset: number }>();
  for (let i = 0; i < tensorCount; i++) {
    const name = cursor.string();
    const dims = Array.from({ length: cursor.u32() }, () => cursor.u64());
    places.set(name, { dims, type: cursor.u32(), offset: cursor.u64() });
  }
  const alignment = Number(metadata.get('general.alignment') ?? 32);
  const dataAt = Math.ceil(cursor.at / alignment) * alignment;
  return {
    metadata,
    tensor(name) {
      const place = places.get(name);
      const known = TYPES.get(place?.type as 0 | 3 | 8);
      if (place === undefined || known === undefined) throw new Error(`${path} has no ${name} of a type known here`);
      const [columns = 1, rows = 1] = place.dims;
      const size = ((rows * columns) / known.columns) * known.bytes;
      const from = dataAt + place.offset;
      return { type: known.type, rows, columns, bytes: file.slice(from, from + size) };
    },
  };
}

class Cursor {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  u32(): number {
    return this.#number(4, (at) => this.#view.getUint32(at, true));
  }

  u64(): number {
    return Number(this.#number(8, (at) => this.#view.getBigUint64(at, true)));
  }

  string(): string {
    return this.text(this.u64());
  }

  text(length: number): string {
    this.at += length;
    return new TextDecoder().decode(this.#bytes.subarray(this.at - length, this.at));
  }

  value(type: number): GgufValue {
    const view = this.#view;
    switch (type) {
      case 0:
        return this.#number(1, (at) => view.getUint8(at));
      case 1:
        return this.#number(1, (at) => view.getInt8(at));
      case 2:
        return this.#number(2, (at) => view.getUint16(at, true));
      case 3:
        return this.#number(2, (at) => view.getInt16(at, true));
      case 4:
        return this.u32();
      case 5:
        return this.#number(4, (at) => view.getInt32(at, true));
      case 6:
        return this.#number(4, (at) => view.getFloat32(at, true));
      case 7:
        return this.#number(1, (at) => view.getUint8(at) !== 0);
      case 8:
        return this.string();
      case ARRAY: {
        const of = this.u32();
        return Array.from({ length: this.u64() }, () => this.value(of));
      }
      case 10:
        return this.#number(8, (at) => view.getBigUint64(at, true));
      case 11:
        return this.#number(8, (at) => view.getBigInt64(at, true));
      case 12:
        return this.#number(8, (at) => view.getFloat64(at, true));
      default:
        throw new Error(`a value of type ${type}`);
    }
  }

  #number<Value>(bytes: number, read: (at: number) => Value): Value {
    this.at += bytes;
    return read(this.at - bytes);
  }
}
