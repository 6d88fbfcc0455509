import type { SessionId } from '../../ids.ts';
import type { SpanCheck } from '../../judge/finding.ts';
import { MAX_CHECKS } from '../../limits.ts';
import type { Route } from '../../route/route.ts';
import { chunkEnd } from '../../rows/chunk.ts';
import type { RowsMessage } from '../../wire/peer-message.ts';
import { AuditSpan } from './audit-span.ts';
import { SessionTape } from './session-tape.ts';
import { SessionVerdicts } from './session-verdicts.ts';

/**
 * The one book of a session's spans: divides what comes back into them, numbers them, keeps those that are closed until
 * they are judged, and their verdicts from then on. A session that nobody checks keeps the same book, chains included.
 */
export class SpanBook {
  readonly session: SessionId;
  /** False where each stage had one replica from the start. */
  readonly isChecked: boolean;
  readonly verdicts = new SessionVerdicts();
  readonly #tape = new SessionTape();
  readonly #stages: number;
  readonly #void = new Set<number>();
  #open: AuditSpan[] = [];
  #epoch = 0;
  #lastIndex = 0;
  /** Where the next span begins. */
  #start = 0;

  constructor({ session, stages }: Route) {
    this.session = session;
    this.#stages = stages.length;
    this.isChecked = stages.some(({ shadows }) => shadows.length > 0);
  }

  /** Closed spans without a verdict, in order. */
  get open(): readonly AuditSpan[] {
    return this.#open;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** True once there are as many spans as a session may have checked. */
  get isSpent(): boolean {
    return this.isChecked && this.#lastIndex >= MAX_CHECKS;
  }

  /** True while there is something to close. */
  get isGrowing(): boolean {
    return this.#start < this.#tape.position && !this.isSpent;
  }

  /** True if everything that came back has its verdict. */
  get isJudged(): boolean {
    return this.verdicts.end >= this.#tape.position;
  }

  find(index: number): AuditSpan | undefined {
    return this.#open.find(({ span }) => span.index === index);
  }

  /** True for the number of a span that a cut made void. */
  isVoid(index: number): boolean {
    return this.#void.has(index);
  }

  /** Tokens went to the replicas of stage 0. */
  sent(rows: RowsMessage): void {
    this.#tape.send(rows);
  }

  /** Takes what came back for the positions before `end`; returns the spans that this closes. */
  receive(rows: RowsMessage, end: number): AuditSpan[] {
    if (end <= this.#tape.position) return [];
    this.#tape.receive(rows, end);
    return this.#closeDue();
  }

  /** Closes what is there. */
  close(): AuditSpan[] {
    return this.#closeAt(this.#tape.position);
  }

  /**
   * A cut voids the spans that it goes into and whose seed nobody knows yet; their remaining positions are checked again.
   * Challenged ones are judged on, as far as they are left, for their rows may be shown only once.
   */
  cut(epoch: number, position: number): AuditSpan[] {
    this.#epoch = epoch;
    this.#start = Math.min(this.#start, position);
    this.verdicts.cut(position);
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
    this.#tape.cut(position);
    return this.#closeDue();
  }

  /** The first open span has its verdict. */
  judge(check: SpanCheck): void {
    this.#open.shift();
    this.verdicts.add(check);
    this.#tape.release(check.end);
  }

  /** Closes every span that has its end: at the end of its chunk, or, to be checked, where unwanted logits follow wanted ones. */
  #closeDue(): AuditSpan[] {
    const tape = this.#tape;
    const closed: AuditSpan[] = [];
    for (let end = this.#start + 1; end <= tape.position; end++) {
      const isTorn = this.isChecked && end < tape.position && tape.hasLogits(end - 1) && !tape.hasLogits(end);
      if (isTorn || end === chunkEnd(this.#start)) closed.push(...this.#closeAt(end));
    }
    return closed;
  }

  #closeAt(end: number): AuditSpan[] {
    if (!this.isGrowing) return [];
    const index = ++this.#lastIndex;
    const place = { session: this.session, epoch: this.#epoch, index, start: this.#start, end };
    const tape = this.#tape;
    const own = tape.commit(place, this.#stages);
    const span = new AuditSpan(own, tape.logits(this.#start, end), tape.shapes(end));
    this.#open.push(span);
    this.#start = end;
    return [span];
  }
}
