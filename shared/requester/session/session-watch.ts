import type { PeerId } from '../../ids.ts';
import type { ProgressedMessage } from '../../wire/peer-message.ts';
import type { SpanBook } from '../audit/span-book.ts';
import type { RequesterSession } from '../feed/requester-session.ts';
import { Laggards, type OwedSpan } from './laggards.ts';
import { LapWatch, type Wait } from './lap-watch.ts';
import { ProgressBoard, type ProgressQuestion } from './progress-board.ts';
import type { Stall } from './session-news.ts';

/** What to do now, of all that a session waits for. */
export interface SessionStep {
  readonly questions: readonly ProgressQuestion[];
  readonly silentShadows: readonly PeerId[];
  readonly stalls: readonly Stall[];
}

/** Watches all that a session waits for: its opening, its laps, and verdicts, which wait for every replica's word. */
export class SessionWatch {
  readonly #session: RequesterSession;
  readonly #book: SpanBook;
  readonly #board: ProgressBoard;
  readonly #laps: LapWatch;
  readonly #words: LapWatch;
  readonly #laggards: Laggards;
  readonly #startedMs: number;
  /** Since when rows are fed, after a rest. */
  #activeSinceMs: number;
  #wasResting = false;
  #owed: OwedSpan | null = null;

  constructor(session: RequesterSession, book: SpanBook, nowMs: number) {
    this.#session = session;
    this.#book = book;
    this.#board = new ProgressBoard(session.route);
    this.#laps = new LapWatch(session.route, this.#board, nowMs);
    this.#words = new LapWatch(session.route, this.#board, nowMs);
    this.#laggards = new Laggards(this.#board, session.pace);
    this.#startedMs = nowMs;
    this.#activeSinceMs = nowMs;
  }

  get deadlineMs(): number {
    return Math.min(this.#laps.deadlineMs, this.#words.deadlineMs);
  }

  /** Replicas to which there is a link. */
  get linkedPeers(): PeerId[] {
    return this.#board.all.filter(({ isLinked }) => isLinked).map(({ id }) => id);
  }

  /** There is a link to this peer; the question to send it, if it is a replica that had none. */
  linked(peer: PeerId, nowMs: number): ProgressQuestion | null {
    return this.#board.linked(peer, nowMs);
  }

  /** True for a replica that this side itself could not reach, or lost. */
  isGone(peer: PeerId): boolean {
    return this.#board.all.some(({ id, isGone }) => id === peer && isGone);
  }

  unlinked(peer: PeerId): void {
    this.#board.unlinked(peer);
  }

  /** Takes a replica's answer. */
  told(from: PeerId, word: ProgressedMessage, nowMs: number): void {
    this.#board.take(from, word, nowMs);
  }

  /** The answer goes on as it is, for there is nothing better: its volunteers get twice the time. */
  bear(nowMs: number): void {
    this.#session.pace.lengthen();
    this.#laps.bear(nowMs);
    this.#words.bear(nowMs);
  }

  /** To be called after whatever happens. While `isHeld`, something else is waited for that explains a wait. */
  step(isHeld: boolean, nowMs: number): SessionStep {
    const { isResting } = this.#session;
    if (this.#wasResting && !isResting) this.#activeSinceMs = nowMs;
    this.#wasResting = isResting;
    const laps = this.#laps.step(isHeld ? null : this.#lapWait(), nowMs);
    const words = this.#words.step(isHeld ? null : this.#wordWait(nowMs), nowMs);
    const steps = [laps, words];
    return {
      questions: steps.flatMap(({ ask }) => ask ?? []),
      silentShadows: steps.flatMap(({ silentShadows }) => silentShadows),
      stalls: steps.flatMap(({ stall }) => stall ?? []),
    };
  }

  #lapWait(): Wait | null {
    const { awaited, pace, step } = this.#session;
    if (step !== 'open' || awaited === null) return null;
    const { count, sinceMs } = awaited;
    const { distanceMs } = this.#board;
    const limitMs = (): number => pace.limitMs(count, this.#board.distanceMs);
    return { sinceMs, awaited, askMs: pace.askMs(count, distanceMs), limitMs };
  }

  #wordWait(nowMs: number): Wait | null {
    const owed = { awaited: null, askMs: this.#session.pace.wordMs, limitMs: () => Infinity };
    if (this.#session.step !== 'open') return { ...owed, sinceMs: this.#startedMs };
    const [span] = this.#book.open;
    if (span === undefined) this.#owed = null;
    else if (this.#owed?.span !== span) this.#owed = { span, sinceMs: nowMs, activeSinceMs: this.#activeSinceMs };
    const held = this.#owed;
    return held && { ...owed, sinceMs: held.sinceMs, heldUp: () => this.#laggards.stall(held, nowMs) };
  }
}
