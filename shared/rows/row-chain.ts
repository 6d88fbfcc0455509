import { sha256 } from '@noble/hashes/sha2.js';

export const CHAIN_BYTES = 32;
const FIRST_CAPACITY = 64;

/** Where every chain starts: 32 zero bytes. */
export const CHAIN_START: Uint8Array<ArrayBuffer> = new Uint8Array(CHAIN_BYTES);

function link(from: Uint8Array, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(from.length + payload.length);
  joined.set(from);
  joined.set(payload, from.length);
  return sha256(joined);
}

/**
 * The chain after `rows`, one for each position in order: h' = SHA-256(h || SHA-256(row)). A position without a row
 * (logits that nobody asked for) has an empty one.
 */
export function foldRows(from: Uint8Array, rows: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let chain = Uint8Array.from(from);
  for (const row of rows) chain = link(chain, sha256(row));
  return chain;
}

/** The chain after `count` positions of which only the last ones have `rows`, the others none. */
export function foldTail(from: Uint8Array, count: number, rows: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const none = Array.from({ length: count - rows.length }, () => new Uint8Array(0));
  return foldRows(from, [...none, ...rows]);
}

/** Views of `count` rows of equal length that lie one after the other. Throws RangeError if they do not. */
export function splitRows(bytes: Uint8Array<ArrayBuffer>, count: number): Uint8Array<ArrayBuffer>[] {
  const rowBytes = count === 0 ? bytes.length : bytes.length / count;
  if (!Number.isInteger(rowBytes) || (count === 0 && rowBytes > 0)) {
    throw new RangeError(`${bytes.length} bytes are not ${count} rows`);
  }
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * rowBytes, (i + 1) * rowBytes));
}

/** The chain of a session's rows, with its value before every position so far. */
export class RowChain {
  #chains = new Uint8Array(CHAIN_BYTES * FIRST_CAPACITY);
  #position = 0;

  /** Positions that have been appended. */
  get position(): number {
    return this.#position;
  }

  /** Adds the row of the next position; see `foldRows`. */
  append(row: Uint8Array): void {
    const next = link(this.#chainAt(this.#position), sha256(row));
    const offset = CHAIN_BYTES * (this.#position + 1);
    if (offset + CHAIN_BYTES > this.#chains.length) {
      const grown = new Uint8Array(2 * this.#chains.length);
      grown.set(this.#chains);
      this.#chains = grown;
    }
    this.#chains.set(next, offset);
    this.#position += 1;
  }

  /** Forgets the rows at `position` and after. */
  cut(position: number): void {
    this.#position = Math.min(this.#position, position);
  }

  /** The chain over the rows before `position`. Throws RangeError if they are not all there. */
  at(position: number): Uint8Array<ArrayBuffer> {
    if (!Number.isInteger(position) || position < 0 || position > this.#position) {
      throw new RangeError(`no chain at ${position}, the rows end at ${this.#position}`);
    }
    return this.#chainAt(position).slice();
  }

  #chainAt(position: number): Uint8Array<ArrayBuffer> {
    return this.#chains.subarray(CHAIN_BYTES * position, CHAIN_BYTES * (position + 1));
  }
}

/**
 * The chain of the runs in which a session's positions were computed: g' = SHA-256(g || u32le start || u32le count). A
 * cut into a run leaves it as it was, for it is in that run that the positions before the cut were computed.
 */
export class ShapeChain {
  readonly #runs: { readonly start: number; readonly chain: Uint8Array<ArrayBuffer> }[] = [];

  append(start: number, count: number): void {
    const shape = new Uint8Array(8);
    const view = new DataView(shape.buffer);
    view.setUint32(0, start, true);
    view.setUint32(4, count, true);
    this.#runs.push({ start, chain: link(this.#runs.at(-1)?.chain ?? CHAIN_START, shape) });
  }

  /** Forgets the runs that began at `position` or after. */
  cut(position: number): void {
    while ((this.#runs.at(-1)?.start ?? -1) >= position) this.#runs.pop();
  }

  /** The chain of the runs that began before `end`. */
  at(end: number): Uint8Array<ArrayBuffer> {
    const run = this.#runs.findLast(({ start }) => start < end);
    return (run?.chain ?? CHAIN_START).slice();
  }
}
