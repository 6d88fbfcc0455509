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
    const late = this.#board.all.filter((each) => each.isLinked && this.#isLate(each, owed, nowMs));
    if (late.length === 0) return null;
    const withheld = late.flatMap((each) => withheldBy(each, owed) ?? []);
    // Its sender says that it sent what the shadow says never came.
    const senders = late.flatMap((each) => (this.#isStarved(each, owed.sinceMs) ? this.#sendersOf(each) : []));
    const volunteers = [...new Set([...late.map(({ id }) => id), ...senders])];
    return senders.length > 0
      ? { why: 'unclear', volunteers, withheld, error: new ChorusError('timeout', CONTRADICTION) }
      : { why: 'slow', volunteers, withheld, error: new ChorusError('timeout', SLOW) };
  }

  #isLate(reporter: Reporter, { span, sinceMs, activeSinceMs }: OwedSpan, nowMs: number): boolean {
    const { commit, reveal } = span.wordsOf(reporter);
    // A word without compute takes two moments, and the way there and back.
    const wordMs = 2 * this.#pace.wordMs + 2 * this.#board.distanceMs;
    if (isOwed(reveal)) return nowMs - Math.max(sinceMs, reveal.byMs - REVEAL_TIMEOUT_MS) >= wordMs;
    if (!isOwed(commit)) return false;
    const askedMs = commit.byMs - COMMIT_TIMEOUT_MS;
    const headMs = Math.max(sinceMs, askedMs);
    if (reporter.role === 'primary') return nowMs - headMs >= wordMs;
    const { start, end, index } = span.span;
    const mayCompile = index === 1 && !isExactClass(reporter.numericClass);
    const limitMs = wordMs + this.#pace.shadowRunMs(reporter.stage, end - start, mayCompile);
    // It runs many positions at once: twice the time of its primary is far more than a slow one needs for all of them.
    const isBehind = nowMs - askedMs >= limitMs + Math.max(0, askedMs - activeSinceMs);
    return isBehind || nowMs - headMs >= limitMs;
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

/** The word that a replica keeps back which needs no compute any more, while its page answers; null where it may be slow. */
function withheldBy(reporter: Reporter, { span, sinceMs }: OwedSpan): Withheld | null {
  if (reporter.wordAskedMs < sinceMs) return null;
  const { id: volunteer, stage, role } = reporter;
  const isComputed = role === 'primary' || !isOwed(span.wordsOf(reporter).commit);
  const code = isOwed(span.wordsOf(reporter).reveal) ? 'reveal-missing' : 'commit-missing';
  return isComputed ? { volunteer, stage, role, code, span: span.span } : null;
}
