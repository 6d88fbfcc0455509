import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { isExactClass } from '../../judge/numeric-class.ts';
import { COMMIT_TIMEOUT_MS, REVEAL_TIMEOUT_MS } from '../../limits.ts';
import { isOwed, type AuditSpan } from '../audit/audit-span.ts';
import type { Pace } from '../feed/pace.ts';
import type { ProgressBoard, Reporter } from './progress-board.ts';
import { SLOW, type Stall, type Withheld } from './session-news.ts';
import { CONTRADICTION } from './told-fault.ts';

/** What a verdict waits for. */
export interface OwedSpan {
  /** The first span without a verdict, and since when it is that. */
  readonly span: AuditSpan;
  readonly sinceMs: number;
  /** Since when rows are fed without a rest. */
  readonly activeSinceMs: number;
}

/** A word that was asked for and has not come. */
interface Debt {
  readonly code: Withheld['code'];
  readonly askedMs: number;
  readonly takesCompute: boolean;
}

/**
 * Finds replicas that answer, and yet hold a verdict up: a primary that does not commit to rows it has passed on, a
 * shadow whose run does not end or that falls behind, and anybody who does not reveal what it committed to.
 */
export class Laggards {
  readonly #board: ProgressBoard;
  readonly #pace: Pace;

  constructor(board: ProgressBoard, pace: Pace) {
    this.#board = board;
    this.#pace = pace;
  }

  /** Without whom the verdict on the span should be got; null as long as nobody is late. */
  stall(owed: OwedSpan, nowMs: number): Stall | null {
    const late = this.#board.all.flatMap((reporter) => {
      const debt = reporter.isLinked ? debtOf(reporter, owed) : null;
      return debt !== null && this.#isLate(reporter, debt, owed, nowMs) ? [{ reporter, debt }] : [];
    });
    if (late.length === 0) return null;
    const withheld = late.flatMap(({ reporter, debt }) => this.#withheldBy(reporter, debt, owed) ?? []);
    // Its sender says that it sent what the shadow says never came.
    const starved = late.filter(({ reporter }) => this.#isStarved(reporter, owed.sinceMs));
    const senders = starved.flatMap(({ reporter }) => this.#sendersOf(reporter));
    const volunteers = [...new Set([...late.map(({ reporter }) => reporter.id), ...senders])];
    return senders.length > 0
      ? { why: 'unclear', goesOn: true, volunteers, withheld, error: new ChorusError('timeout', CONTRADICTION) }
      : { why: 'slow', goesOn: true, volunteers, withheld, error: new ChorusError('timeout', SLOW) };
  }

  #isLate(reporter: Reporter, debt: Debt, { span, sinceMs, activeSinceMs }: OwedSpan, nowMs: number): boolean {
    // A word without compute takes two moments, and the way there and back.
    const wordMs = 2 * this.#pace.wordMs + 2 * this.#board.distanceMs;
    const headMs = Math.max(sinceMs, debt.askedMs);
    if (!debt.takesCompute) return nowMs - headMs >= wordMs;
    const { start, end, index } = span.span;
    const mayCompile = index === 1 && !isExactClass(reporter.numericClass);
    const limitMs = wordMs + this.#pace.shadowRunMs(reporter.stage, end - start, mayCompile);
    // It runs many positions at once: twice the time of its primary is far more than a slow one needs for all of them.
    const isBehind = nowMs - debt.askedMs >= limitMs + Math.max(0, debt.askedMs - activeSinceMs);
    return isBehind || nowMs - headMs >= limitMs;
  }

  /** A word that is kept back while the replica's page runs; null where it takes compute, or the page may stand still. */
  #withheldBy({ id, stage, role, wordAskedMs }: Reporter, debt: Debt, { span, sinceMs }: OwedSpan): Withheld | null {
    const ranUntilMs = Math.max(sinceMs, debt.askedMs) + 1.5 * this.#pace.wordMs;
    if (debt.takesCompute || wordAskedMs < ranUntilMs) return null;
    return { volunteer: id, stage, role, code: debt.code, span: span.span };
  }

  /** True for a shadow that says that rows never came which its stage's primary has had. */
  #isStarved({ role, stage, word, wordAskedMs }: Reporter, sinceMs: number): boolean {
    if (role === 'primary' || stage === 0 || word === null || wordAskedMs < sinceMs) return false;
    const primary = this.#board.all.find((each) => each.role === 'primary' && each.stage === stage);
    return (primary?.word?.received ?? 0) > word.received;
  }

  #sendersOf({ stage }: Reporter): PeerId[] {
    return this.#board.all.filter((each) => each.role === 'primary' && each.stage === stage - 1).map(({ id }) => id);
  }
}

/** The word that this replica owes on the span; null for none. */
function debtOf(reporter: Reporter, { span }: OwedSpan): Debt | null {
  const { commit, reveal } = span.wordsOf(reporter);
  if (isOwed(reveal)) return { code: 'reveal-missing', askedMs: reveal.byMs - REVEAL_TIMEOUT_MS, takesCompute: false };
  if (!isOwed(commit)) return null;
  // A primary has computed what came back.
  const takesCompute = reporter.role === 'shadow';
  return { code: 'commit-missing', askedMs: commit.byMs - COMMIT_TIMEOUT_MS, takesCompute };
}
