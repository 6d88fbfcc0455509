import { concatBytes } from '../../bytes.ts';
import type { Sampled } from '../../judge/draws.ts';
import { NO_OPENING } from '../../judge/statement-codec.ts';
import type { Commit, Span } from '../../judge/statement.ts';
import { RowChain, CHAIN_START, ShapeChain, splitRows } from '../../rows/row-chain.ts';
import type { DrawnAt } from '../../rows/sampler.ts';
import type { RowsMessage } from '../../wire/peer-message.ts';

const NO_ROW: Uint8Array<ArrayBuffer> = new Uint8Array();

/** Both ends of a session as its requester has them: the tokens it sent, and the logits that came back. */
export class SessionTape {
  readonly #tokenChain = new RowChain();
  readonly #logitsChain = new RowChain();
  readonly #shapes = new ShapeChain();
  /** Logits rows that a verdict may still need, by position. */
  readonly #rows = new Map<number, Uint8Array<ArrayBuffer>>();

  /** Positions whose lap is over. */
  get position(): number {
    return this.#logitsChain.position;
  }

  send({ rows: { start, bytes, count } }: RowsMessage): void {
    this.#shapes.append(start, count);
    for (const row of splitRows(bytes, count)) this.#tokenChain.append(row);
  }

  /** `rows` are the logits of the last positions before `end`; those between the last call's end and these have none. */
  receive({ rows: { bytes, count } }: RowsMessage, end: number): void {
    const rows = splitRows(bytes, count);
    while (this.position < end) {
      const row = rows[this.position - (end - count)];
      if (row !== undefined) this.#rows.set(this.position, row);
      this.#logitsChain.append(row ?? NO_ROW);
    }
  }

  cut(position: number): void {
    this.#tokenChain.cut(position);
    this.#logitsChain.cut(position);
    this.#shapes.cut(position);
    for (const key of this.#rows.keys()) if (key >= position) this.#rows.delete(key);
  }

  /** Logits before `position` are not needed any more. */
  release(position: number): void {
    for (const key of this.#rows.keys()) if (key < position) this.#rows.delete(key);
  }

  hasLogits(position: number): boolean {
    return this.#rows.has(position);
  }

  /** The logits rows of [start, end), one after the other. */
  logits(start: number, end: number): { readonly count: number; readonly bytes: Uint8Array<ArrayBuffer> } {
    const rows: Uint8Array<ArrayBuffer>[] = [];
    for (let position = start; position < end; position++) {
      const row = this.#rows.get(position);
      if (row !== undefined) rows.push(row);
    }
    return { count: rows.length, bytes: concatBytes(...rows) };
  }

  /** The requester's own commit to a span: it comes after the last of `stages` stages and before the first. */
  commit(span: Span, stages: number): Commit {
    const { start, end } = span;
    return {
      ...span,
      opening: NO_OPENING,
      stage: stages,
      inputFrom: this.#logitsChain.at(start),
      inputTo: this.#logitsChain.at(end),
      outputFrom: this.#tokenChain.at(start),
      outputTo: this.#tokenChain.at(end),
      shapes: CHAIN_START.slice(),
    };
  }

  /** Chain of the runs in which every primary computes the positions before `end`: one for each rows message that was sent. */
  shapes(end: number): Uint8Array<ArrayBuffer> {
    return this.#shapes.at(end);
  }
}

/** The tokens that were drawn from the last `count` positions before `end`; null if none was. */
export function sampledFrom(count: number, end: number, drawnAt: DrawnAt): Sampled | null {
  const drawn = Array.from({ length: count }, (_, i) => drawnAt(end - count + 1 + i));
  const sampling = drawn.find((found) => found !== null)?.sampling;
  return sampling === undefined ? null : { sampling, tokens: drawn.map((found) => found?.token ?? null) };
}
