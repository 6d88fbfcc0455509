import type { PeerId } from '../../ids.ts';
import { PROGRESS_SILENCE_MS } from '../../limits.ts';
import type { Route } from '../../route/route.ts';
import type { ProgressedMessage } from '../../wire/peer-message.ts';

/** How long a replica may take for its first answer: how far away it is, nobody knows yet. */
const FIRST_ANSWER_MS = 1_000;
/** The same of a shadow, whom nobody waits for. */
const SHADOW_SILENCE_MS = 1_000;
/** A distance beyond this is the replica's own doing. */
const MAX_DISTANCE_MS = 400;
/** Answers whose times are remembered. */
const ANSWERS = 5;

/** Questions whose answers may still come. */
const MAX_QUESTIONS = 256;

/** A question to these replicas. */
export interface ProgressQuestion {
  readonly to: readonly PeerId[];
  readonly nonce: number;
}

/** One replica of a session, and what it has said of its progress. */
export interface Reporter {
  readonly id: PeerId;
  readonly stage: number;
  readonly role: 'primary' | 'shadow';
  readonly webrtc: boolean;
  readonly numericClass: string;
  isLinked: boolean;
  wasLinked: boolean;
  /** This side could not reach it, or lost it. */
  isGone: boolean;
  /** The session goes on without it. */
  isLeft: boolean;
  /** The first question since its last answer; null with none. */
  askedMs: number | null;
  /** Its last answer, and when that was asked for. */
  word: ProgressedMessage | null;
  wordAskedMs: number;
}

/** What the rows that are waited for are at, as far as the replicas' answers show it. */
export type Place =
  /** A stage says that it has them, or nobody else does. */
  | { readonly type: 'held'; readonly stage: number }
  /** One primary says that it passed them on, the next that they never came; where one of the two is the requester, the other. */
  | { readonly type: 'between'; readonly stages: readonly number[] }
  /** They are with this one, which says nothing. */
  | { readonly type: 'silent'; readonly stage: number }
  /** A primary says itself that it has left. */
  | { readonly type: 'left'; readonly stage: number }
  | { readonly type: 'unclear' };

/** The replicas of a session as they answer questions for their progress. */
export class ProgressBoard {
  readonly #all: readonly Reporter[];
  readonly #askedMs = new Map<number, number>();
  readonly #tookMs = new Map<PeerId, number[]>();
  #lastNonce = 0;

  constructor({ stages }: Route) {
    this.#all = stages.flatMap(({ primary, shadows }, stage) =>
      [primary, ...shadows].map(({ id, webrtc, numericClass }, i): Reporter => ({
        ...{ id, stage, role: i === 0 ? 'primary' : 'shadow', webrtc, numericClass },
        ...{ isLinked: false, wasLinked: false, isGone: false, isLeft: false },
        ...{ askedMs: null, word: null, wordAskedMs: -Infinity },
      })),
    );
  }

  get all(): readonly Reporter[] {
    return this.#all;
  }

  /** There is a link to this replica: the question to send it, so that how far away it is is known. */
  linked(peer: PeerId, nowMs: number): ProgressQuestion | null {
    const reporter = this.#all.find(({ id }) => id === peer);
    if (reporter === undefined || reporter.isLinked || reporter.isLeft) return null;
    reporter.isGone = false;
    reporter.isLinked = true;
    reporter.wasLinked = true;
    return this.ask([reporter], nowMs);
  }

  /** Asks nothing more of a replica that the session goes on without. */
  leave(peer: PeerId): void {
    const reporter = this.#all.find(({ id }) => id === peer);
    if (reporter !== undefined) reporter.isLeft = true;
    this.unlinked(peer);
  }

  /** There is no link to it, or none any more. */
  unlinked(peer: PeerId): void {
    const reporter = this.#all.find(({ id }) => id === peer);
    if (reporter === undefined) return;
    reporter.isGone = true;
    reporter.isLinked = false;
    reporter.askedMs = null;
  }

  /** The question to those of these that are linked, which is asked now; null where none is. */
  ask(reporters: readonly Reporter[], nowMs: number): ProgressQuestion | null {
    const linked = reporters.filter(({ isLinked }) => isLinked);
    if (linked.length === 0) return null;
    const nonce = ++this.#lastNonce;
    this.#askedMs.set(nonce, nowMs);
    if (this.#askedMs.size > MAX_QUESTIONS) this.#askedMs.delete(this.#askedMs.keys().next().value!);
    for (const reporter of linked) reporter.askedMs ??= nowMs;
    return { to: linked.map(({ id }) => id), nonce };
  }

  /** Takes an answer; one to no question of ours does nothing. */
  take(from: PeerId, word: ProgressedMessage, nowMs: number): void {
    const reporter = this.#all.find(({ id }) => id === from);
    const askedMs = this.#askedMs.get(word.nonce);
    if (reporter === undefined || askedMs === undefined || askedMs < reporter.wordAskedMs) return;
    this.#tookMs.set(from, [...(this.#tookMs.get(from) ?? []), nowMs - askedMs].slice(-ANSWERS));
    reporter.word = word;
    reporter.wordAskedMs = askedMs;
    // A later question is answered in its turn.
    if (reporter.askedMs !== null && reporter.askedMs <= askedMs) reporter.askedMs = null;
  }

  /** How long the replica in the middle of them takes to answer; one of them alone cannot say that all are far away. */
  get distanceMs(): number {
    const tookMs = [...this.#tookMs.values()].map((each) => Math.min(...each)).sort((a, b) => a - b);
    return Math.min(MAX_DISTANCE_MS, tookMs[Math.floor((tookMs.length - 1) / 2)] ?? 0);
  }

  /** How long this replica may keep an answer before it is silent. */
  #patienceMs({ id, role }: Reporter): number {
    const tookMs = this.#tookMs.get(id);
    if (tookMs === undefined) return FIRST_ANSWER_MS;
    const leastMs = role === 'primary' ? PROGRESS_SILENCE_MS : SHADOW_SILENCE_MS;
    return Math.max(leastMs, 3 * Math.min(MAX_DISTANCE_MS, ...tookMs));
  }

  isSilent(reporter: Reporter, nowMs: number): boolean {
    return reporter.askedMs !== null && nowMs - reporter.askedMs >= this.#patienceMs(reporter);
  }

  /** When the next of those that were asked is silent; Infinity with none. */
  nextSilentMs(nowMs: number): number {
    const dueMs = this.#all.map((each) => (each.askedMs === null ? Infinity : each.askedMs + this.#patienceMs(each)));
    return Math.min(Infinity, ...dueMs.filter((due) => due > nowMs));
  }

  /** True if somebody answered a question that was asked at `sinceMs` or later. */
  hasAnswered(sinceMs: number): boolean {
    return this.#all.some(({ wordAskedMs }) => wordAskedMs >= sinceMs);
  }

  /** Where rows of this number are, by what was answered to questions since `sinceMs`. */
  locate(sequence: number, sinceMs: number, nowMs: number): Place {
    const primaries = this.#all.filter(({ role }) => role === 'primary');
    // What came in, or was passed on, stays so, however old the word.
    const last = primaries.findLast(({ word }) => word !== null && word.received > sequence);
    const isHeld = last !== undefined && last.word!.sent <= sequence;
    const stage = last === undefined ? 0 : isHeld ? last.stage : last.stage + 1;
    const reporter = primaries[stage];
    if (reporter === undefined) return { type: 'between', stages: [primaries.length - 1] };
    // Whom this side does not reach has them, for nobody else does.
    if (!reporter.isLinked) return { type: 'held', stage };
    if (this.isSilent(reporter, nowMs)) return { type: 'silent', stage };
    if (reporter.wordAskedMs < sinceMs) return { type: 'unclear' };
    if (reporter.word!.step === 'unknown') return { type: 'left', stage };
    if (isHeld) return { type: 'held', stage };
    return { type: 'between', stages: stage === 0 ? [0] : [stage - 1, stage] };
  }
}
