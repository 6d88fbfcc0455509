import type { SessionId } from '../../ids.ts';
import { MAX_CHECKS } from '../../limits.ts';
import { chunkEnd } from '../../rows/chunk.ts';
import type { RowsMessage } from '../../wire/peer-message.ts';
import type { AuditRecord } from './audit-record.ts';
import { AuditSpan } from './audit-span.ts';

/** Divides what comes back of a session into spans, numbers them, and keeps them until their verdict. */
export class AuditSpans {
  readonly session: SessionId;
  readonly #record: AuditRecord;
  readonly #stages: number;
  readonly #void = new Set<number>();
  #open: AuditSpan[] = [];
  #epoch = 0;
  #lastIndex = 0;
  /** Where the next span begins. */
  #start = 0;
  #checkedEnd = 0;

  constructor(session: SessionId, stages: number, record: AuditRecord) {
    this.session = session;
    this.#stages = stages;
    this.#record = record;
  }

  /** Closed spans without a verdict, in order. */
  get open(): readonly AuditSpan[] {
    return this.#open;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** Positions before it have their verdict. */
  get checkedEnd(): number {
    return this.#checkedEnd;
  }

  /** True while there is something to close. */
  get isGrowing(): boolean {
    return this.#start < this.#record.position && this.#lastIndex < MAX_CHECKS;
  }

  find(index: number): AuditSpan | undefined {
    return this.#open.find(({ span }) => span.index === index);
  }

  /** True for the number of a span that a cut made void. */
  isVoid(index: number): boolean {
    return this.#void.has(index);
  }

  /** Takes what came back for the positions before `end`; returns the spans that this closes. */
  receive(rows: RowsMessage, end: number): AuditSpan[] {
    if (end <= this.#record.position) return [];
    this.#record.receive(rows, end);
    return this.#closeDue();
  }

  /** Closes what is there. */
  close(): AuditSpan[] {
    return this.#closeAt(this.#record.position);
  }

  /**
   * Spans that the cut goes into and whose seed nobody knows yet are void, and what is left of them is checked again. Those
   * that were challenged are judged on, as far as they are left, for their rows may be shown only once.
   */
  cut(epoch: number, position: number): AuditSpan[] {
    this.#epoch = epoch;
    this.#start = Math.min(this.#start, position);
    this.#checkedEnd = Math.min(this.#checkedEnd, position);
    this.#open = this.#open.filter((span) => {
      const { start, end, index } = span.span;
      if (end <= position) return true;
      if (span.isChallenged && start < position) {
        span.keptEnd = Math.min(span.keptEnd, position);
        return true;
      }
      this.#void.add(index);
      this.#start = Math.min(this.#start, start);
      return false;
    });
    this.#record.cut(position);
    return this.#closeDue();
  }

  /** The first open span has its verdict. */
  finish(): void {
    this.#checkedEnd = this.#open.shift()!.keptEnd;
    this.#record.release(this.#checkedEnd);
  }

  /** Closes every span that has its end: at the end of its chunk, or where unwanted logits follow wanted ones. */
  #closeDue(): AuditSpan[] {
    const record = this.#record;
    const closed: AuditSpan[] = [];
    for (let end = this.#start + 1; end <= record.position; end++) {
      const isTorn = end < record.position && record.hasLogits(end - 1) && !record.hasLogits(end);
      if (isTorn || end === chunkEnd(this.#start)) closed.push(...this.#closeAt(end));
    }
    return closed;
  }

  #closeAt(end: number): AuditSpan[] {
    if (!this.isGrowing) return [];
    const index = ++this.#lastIndex;
    const place = { session: this.session, epoch: this.#epoch, index, start: this.#start, end };
    const record = this.#record;
    const own = record.commit(place, this.#stages);
    const span = new AuditSpan(own, record.logits(this.#start, end), record.shapes(end));
    this.#open.push(span);
    this.#start = end;
    return [span];
  }
}
