import type { RowsMessage } from '../../wire/peer-message.ts';

/** What came back for the rows that end before position `end`. */
export interface Returned {
  readonly rows: RowsMessage;
  readonly end: number;
}

interface Expected {
  readonly start: number;
  readonly end: number;
  /** As they come back without any logits. */
  readonly empty: RowsMessage;
}

/**
 * Puts what comes back of a session into the order in which it was sent. Only the last of what is sent at once is asked for
 * logits: when these come, all before it has been round.
 */
export class Returns {
  readonly #expected: Expected[] = [];
  readonly #returned: Returned[] = [];

  /** `rows` go round now, and come back to stage `stage`. */
  expect(rows: RowsMessage, stage: number): void {
    const { start, count } = rows.rows;
    const end = start + count;
    const none = { kind: 'logits', start: end, count: 0, bytes: new Uint8Array() } as const;
    this.#expected.push({ start, end, empty: { ...rows, stage, rows: none } });
  }

  arrived(message: RowsMessage): void {
    const index = this.#expected.findIndex(({ empty }) => empty.sequence === message.sequence);
    for (const { empty, end } of this.#expected.splice(0, index + 1)) {
      this.#returned.push({ rows: empty.sequence === message.sequence ? message : empty, end });
    }
  }

  /** What still goes round is not waited for; the primaries take in what lies before `position` nevertheless. */
  cut(position: number): void {
    for (const { start, end, empty } of this.#expected.splice(0)) {
      if (start < position) this.#returned.push({ rows: empty, end: Math.min(end, position) });
    }
  }

  take(): Returned[] {
    return this.#returned.splice(0);
  }
}
