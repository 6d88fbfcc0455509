import { ChorusError } from '../../errors.ts';
import {
  followingOpen,
  isOpen,
  lowestTier,
  noCounts,
  TIERS,
  type CheckCounts,
  type SpanCheck,
} from '../../judge/finding.ts';
import { COMMIT_TIMEOUT_MS, LEAST_CAPACITY, MAX_REROUTES, REVEAL_TIMEOUT_MS } from '../../limits.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { Sampling } from '../../rows/sampler.ts';
import type { AnswerEvent, GenerateRequest, Usage } from '../answer-event.ts';

type EndEvent = Extract<AnswerEvent, { type: 'end' }>;
/** Why nothing more is fed: the answer is whole, or goes on over another route whose lease is longer. */
export type Closing = 'stop' | 'length' | 'renew';

/** The longest wait between two verdicts of a complete answer; the check itself has shorter limits. */
export const END_TIMEOUT_MS = COMMIT_TIMEOUT_MS + REVEAL_TIMEOUT_MS + 5_000;
/** The most faults that a receipt may name. */
const MAX_FAULTS = 256;

/** The answer being made: its tokens, how far they are checked, and what it took. */
export class Answer {
  readonly promptLength: number;
  /** Positions a route for it should have room for. */
  readonly capacity: number;
  readonly maxNewTokens: number;
  readonly sampling: Sampling;
  /** Wall clock. */
  readonly startedAtMs: number;
  readonly #isComplete: (answer: readonly number[]) => boolean;
  /** Prompt and answer so far. */
  readonly #history: number[];
  readonly #counts = noCounts();
  readonly #faults: Evidence['faults'][number][] = [];
  #verdictEnd = 0;
  /** End of the first span whose tokens are open, whatever route it was on. */
  #openFrom = Infinity;
  #drawnEnd: number;
  #reroutes = 0;
  /** Tokens there were at the last reroute. */
  #reroutedAt = 0;
  #closing: Closing | null = null;
  #closedAt = Infinity;

  /** Throws `bad-message` for an empty prompt, `too-long` for one that leaves no room for an answer. */
  constructor(
    { promptTokens, maxNewTokens, sampling, isComplete }: GenerateRequest,
    maxPositions: number,
    startedAtMs: number,
  ) {
    const { length } = promptTokens;
    if (length === 0) throw new ChorusError('bad-message', 'the prompt is empty');
    if (length >= maxPositions) {
      const text = `the prompt has ${length} tokens; this model takes fewer than ${maxPositions}`;
      throw new ChorusError('too-long', text);
    }
    this.#history = [...promptTokens];
    this.#drawnEnd = length;
    this.promptLength = length;
    this.maxNewTokens = Math.min(maxNewTokens, maxPositions - length);
    // A copy, as of the tokens: the caller may change its own object.
    const { temperature, topP, seed } = sampling;
    this.sampling = { temperature, topP, seed };
    this.startedAtMs = startedAtMs;
    this.capacity = Math.min(capacityFor(this.neededPositions), maxPositions);
    this.#isComplete = isComplete ?? (() => false);
  }

  get history(): readonly number[] {
    return this.#history;
  }

  /** Tokens from this position on were drawn in a session that is gone, and have to be drawn again in this one. */
  get drawnEnd(): number {
    return this.#drawnEnd;
  }

  get isDrawingAgain(): boolean {
    return this.#drawnEnd < this.#history.length;
  }

  get neededPositions(): number {
    return this.promptLength + this.maxNewTokens;
  }

  /** Rows before this position have their verdict. */
  get verdictEnd(): number {
    return this.#verdictEnd;
  }

  /** Set while its last spans are checked. */
  get closing(): Closing | null {
    return this.#closing;
  }

  /** Rows before this position need a verdict for it to be whole; Infinity until it is closed. */
  get closedAt(): number {
    return this.#closedAt;
  }

  /** True once it is closed and every row has its verdict. */
  get isWhole(): boolean {
    return this.#verdictEnd >= this.#closedAt;
  }

  /** True once nothing more is to be done for it, in any session. */
  get isDone(): boolean {
    return this.isWhole && this.#closing !== 'renew';
  }

  /** Replicas that failed it, in whatever session. */
  get faults(): Evidence['faults'] {
    return this.#faults;
  }

  note({ volunteer, stage, role, code, isProven }: Extract<AnswerEvent, { type: 'fault' }>): void {
    if (this.#faults.length < MAX_FAULTS) this.#faults.push({ volunteer, stage, role, code, isProven });
  }

  /** Nothing more is fed; `rows` have been. */
  close(closing: Closing, rows: number): void {
    this.#closing = closing;
    this.#closedAt = rows;
  }

  /** Adds a token; says whether the answer is whole with it. */
  push(token: number): 'stop' | 'length' | null {
    this.#history.push(token);
    this.#drawnEnd = this.#history.length;
    const length = this.#history.length - this.promptLength;
    if (this.#isComplete(this.#history.slice(this.promptLength))) return 'stop';
    return length >= this.maxNewTokens ? 'length' : null;
  }

  /** The part of a verdict that is new to this answer; null if none is. A session's spans may have been checked in another. */
  accept(check: SpanCheck): SpanCheck | null {
    if (check.end <= this.#verdictEnd) return null;
    const verdict = this.lowered(check);
    if (isOpen(check) && check.end >= this.promptLength) this.#openFrom = Math.min(this.#openFrom, check.end);
    this.#counts[verdict.tier] += 1;
    const start = Math.max(check.start, this.#verdictEnd);
    this.#verdictEnd = check.end;
    return { ...verdict, start };
  }

  /** A verdict as it counts for this answer: no token is better than one before it that may be anything. */
  lowered(check: SpanCheck): SpanCheck {
    return check.end > this.#openFrom ? followingOpen(check) : check;
  }

  /** Takes back the tokens that no verdict covers; returns the position from which they come again. */
  withdraw(): number {
    return this.#reopen(this.#keptEnd);
  }

  /** Takes back the tokens from `position` on, which lies after the last verdict: another one comes there. */
  takeBack(position: number): void {
    this.#reopen(Math.max(this.promptLength, position));
    this.#drawnEnd = this.#history.length;
  }

  /**
   * Keeps the tokens that no verdict covers, for another session to draw them again; returns the position from which
   * tokens are missing. The last one of a closed answer is among these, for it is what closes it.
   */
  keepToDraw(): number {
    const { length } = this.#history;
    return this.#reopen(this.#closing === null ? length : Math.max(this.#keptEnd, length - 1));
  }

  /** All tokens were drawn again, up to this position. */
  drawnAgain(end: number): void {
    this.#drawnEnd = end;
    this.#history.length = end;
  }

  get #keptEnd(): number {
    return Math.max(this.promptLength, this.#verdictEnd + 1);
  }

  #reopen(end: number): number {
    this.#history.length = Math.min(this.#history.length, end);
    this.#drawnEnd = Math.min(this.#history.length, this.#keptEnd);
    this.#closing = null;
    this.#closedAt = Infinity;
    return this.#history.length;
  }

  /** Counts one more route; false if there have been too many since the answer last got on. */
  reroute(): boolean {
    if (this.#history.length > this.#reroutedAt) this.#reroutes = 0;
    this.#reroutedAt = this.#history.length;
    this.#reroutes += 1;
    return this.#reroutes <= MAX_REROUTES;
  }

  /** True if `reroute` would grant another route. */
  get mayReroute(): boolean {
    return this.#reroutes < MAX_REROUTES || this.#keptEnd > this.#reroutedAt;
  }

  /** The answer as it ends; `isWhole` if every row has its verdict. */
  end(reason: EndEvent['reason'], isWhole: boolean, evidence: Evidence | null): EndEvent {
    const counts: CheckCounts = { ...this.#counts, unchecked: this.#counts.unchecked + (isWhole ? 0 : 1) };
    const tier = lowestTier(TIERS.filter((each) => counts[each] > 0));
    const usage: Usage = {
      promptTokens: this.promptLength,
      completionTokens: this.#history.length - this.promptLength,
    };
    return { type: 'end', reason, usage, tier, counts, evidence };
  }
}

/** Grows by doubling, so that a chat seldom needs another session and short ones take little memory. */
function capacityFor(positions: number): number {
  let capacity = LEAST_CAPACITY;
  while (capacity < positions) capacity *= 2;
  return capacity;
}
