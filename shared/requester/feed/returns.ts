import { ChorusError } from '../../errors.ts';
import { TOP_K } from '../../limits.ts';
import { logitsRowBytes, readCandidates, type Candidates } from '../../rows/logits-row.ts';
import type { RowsMessage } from '../../wire/peer-message.ts';

/** The rows that came back for those that end before position `end`. */
export interface Returned {
  readonly rows: RowsMessage;
  readonly end: number;
}

/** The lap of one rows message, now that it is back. */
export interface Lap {
  readonly lapMs: number;
  /** How far the prompt is in; null once it is. */
  readonly prompt: { readonly done: number; readonly total: number } | null;
  /** End of the positions that have been round. */
  readonly end: number;
  /** The logits of the last of these positions, of all whose logits were wanted; the last row is that before `end`. */
  readonly candidates: readonly Candidates[];
}

interface Expected {
  readonly start: number;
  readonly end: number;
  /** The rows as they come back without any logits. */
  readonly empty: RowsMessage;
  readonly wantsLogits: boolean;
  /** The rows as they came back; null before. */
  came: RowsMessage | null;
}

/**
 * Puts the rows that come back into the order of sending. Rows of which no logits are wanted have been round
 * once any rows after them have; those with wanted logits are waited for.
 */
export class Returns {
  readonly #expected: Expected[] = [];
  readonly #returned: Returned[] = [];

  /** `rows` go round now, and come back to stage `stage`. */
  expect(rows: RowsMessage, stage: number): void {
    const { start, count } = rows.rows;
    const wantsLogits = rows.logitsFrom < start + count;
    const end = start + count;
    const none = { kind: 'logits', start: end, count: 0, bytes: new Uint8Array() } as const;
    this.#expected.push({ start, end, empty: { ...rows, stage, rows: none }, wantsLogits, came: null });
  }

  arrived(message: RowsMessage): void {
    const arrived = this.#expected.find(({ empty }) => empty.sequence === message.sequence);
    if (arrived !== undefined) arrived.came = message;
    const last = this.#expected.findLastIndex(({ came }) => came !== null);
    const missing = this.#expected.findIndex(({ came, wantsLogits }) => came === null && wantsLogits);
    const due = this.#expected.splice(0, missing === -1 ? last + 1 : Math.min(missing, last + 1));
    for (const { came, empty, end } of due) this.#returned.push({ rows: came ?? empty, end });
  }

  /** Rows that still go round are not waited for; the primaries take in those before `position` nevertheless. */
  cut(position: number): void {
    for (const { start, end, empty } of this.#expected.splice(0)) {
      if (start < position) this.#returned.push({ rows: empty, end: Math.min(end, position) });
    }
  }

  take(): Returned[] {
    return this.#returned.splice(0);
  }
}

/** Reads `count` logits rows that lie one after the other. Throws `bad-message` for bytes that are none. */
export function readLogits(bytes: Uint8Array<ArrayBuffer>, count: number, vocabularySize: number): Candidates[] {
  const most = Math.min(TOP_K, vocabularySize);
  const size = logitsRowBytes(most);
  if (count > 0 && bytes.length !== count * size)
    throw new ChorusError('bad-message', 'a logits row has the wrong size');
  return Array.from({ length: count }, (_, i) => {
    return readCandidates(bytes.subarray(i * size, (i + 1) * size), vocabularySize, most);
  });
}
