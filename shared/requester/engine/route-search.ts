import { ChorusError, toChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { EXCLUDE_MS, ROUTE_TIMEOUT_MS } from '../../limits.ts';
import { checkRoute, type Route } from '../../route/route.ts';
import type { RequesterConfig } from '../requester-event.ts';
import type { Stall } from '../session/session-news.ts';

/** The next step after the server's answer, or its silence. */
export type SearchStep =
  /** Ask (again) for a route without these. */
  | { readonly type: 'ask'; readonly exclude: readonly PeerId[] }
  | { readonly type: 'fail'; readonly error: ChorusError };

/** When somebody was late: in this answer, in one before it; or that this answer has let it back. */
type Lateness = 'now' | 'before' | 'let-back';

/** The most exclusions that one request may name. */
const MAX_EXCLUDED = 64;
/** Refusals that the exclusions may have caused. */
const SCARCE = new Set(['no-coverage', 'too-few-volunteers', 'all-busy']);

/** The wait for a route, and the peers to keep away from. */
export class RouteSearch {
  readonly #self: PeerId;
  /** Peers to keep away from, each until its time. */
  readonly #excluded = new Map<PeerId, number>();
  /** Peers to keep away from as long as the answer is made. */
  readonly #ofAnswer = new Set<PeerId>();
  /** Those of them against whom nothing is held but that they were late, or lost. */
  readonly #late = new Map<PeerId, Lateness>();
  #byMs = Infinity;

  constructor(self: PeerId) {
    this.#self = self;
  }

  get isOn(): boolean {
    return this.#byMs !== Infinity;
  }

  get deadlineMs(): number {
    return this.#byMs;
  }

  /** Keeps away from those that failed for a while; from who was only late, as long as others are there. */
  exclude(peers: readonly PeerId[], isLate: boolean, nowMs: number): void {
    if (isLate) this.#noteLate(peers);
    for (const peer of peers) {
      this.#excluded.set(peer, nowMs + EXCLUDE_MS);
      if (!isLate) this.#late.delete(peer);
    }
  }

  /** True if one of these is not kept away from yet. */
  isNews(peers: readonly PeerId[]): boolean {
    return peers.some((peer) => !this.#excluded.has(peer) && !this.#ofAnswer.has(peer));
  }

  /** Keeps away from these for the answer: they differed, and nothing shows who is wrong. */
  doubt(peers: readonly PeerId[]): void {
    for (const peer of peers) {
      this.#ofAnswer.add(peer);
      this.#late.delete(peer);
    }
  }

  /** Keeps away from those that stall: who answers at all only as long as the answer is made. */
  leaveOut(peers: readonly PeerId[], why: Stall['why'], nowMs: number): void {
    if (why === 'silent') return this.exclude(peers, true, nowMs);
    if (why === 'unclear') return this.doubt(peers);
    this.#noteLate(peers);
    for (const peer of peers) this.#ofAnswer.add(peer);
  }

  /**
   * Lets those back that were only late, but for these, each once an answer: a busy machine stands still for a moment, and a
   * stage that nobody checks is worse. False if there is nobody.
   */
  forgive(but: readonly PeerId[]): boolean {
    return this.#letBack(([peer, since]) => since !== 'let-back' && !but.includes(peer));
  }

  /** The same for those that were late in an answer before. */
  forgiveFormer(): boolean {
    return this.#letBack(([, since]) => since === 'before');
  }

  /** The same for all of them, though they were let back before. */
  forgiveAll(): boolean {
    return this.#letBack(() => true);
  }

  #letBack(isMeant: (late: [PeerId, Lateness]) => boolean): boolean {
    const late = [...this.#late].filter(isMeant);
    for (const [peer] of late) {
      this.#late.set(peer, 'let-back');
      this.#ofAnswer.delete(peer);
      this.#excluded.delete(peer);
    }
    return late.length > 0;
  }

  /** There is nobody in the place of these. */
  readmit(peers: readonly PeerId[]): void {
    for (const peer of peers) this.#ofAnswer.delete(peer);
  }

  /** The answer is over, and with it what was only doubted. */
  forgetAnswer(): void {
    this.#ofAnswer.clear();
    for (const peer of this.#late.keys()) {
      if (this.#excluded.has(peer)) this.#late.set(peer, 'before');
      else this.#late.delete(peer);
    }
  }

  /** Peers to leave out now. This one is among them: no peer has a link to itself. */
  excluded(nowMs: number): PeerId[] {
    for (const [peer, untilMs] of this.#excluded) if (untilMs <= nowMs) this.#excluded.delete(peer);
    return [...new Set([this.#self, ...this.#ofAnswer, ...this.#excluded.keys()])].slice(0, MAX_EXCLUDED);
  }

  start(nowMs: number): SearchStep {
    this.wait(nowMs);
    return { type: 'ask', exclude: this.excluded(nowMs) };
  }

  /** The server has the request: it is waited for anew. */
  wait(nowMs: number): void {
    this.#byMs = nowMs + ROUTE_TIMEOUT_MS;
  }

  /** True if it was on. */
  stop(): boolean {
    const { isOn } = this;
    this.#byMs = Infinity;
    return isOn;
  }

  /** Asks again without exclusions: a volunteer that failed once is better than none. */
  refused(error: ChorusError, nowMs: number): SearchStep {
    this.stop();
    const isFree = this.#excluded.size + this.#ofAnswer.size === 0;
    if (isFree || !SCARCE.has(error.code)) return { type: 'fail', error };
    this.#excluded.clear();
    this.forgetAnswer();
    return this.start(nowMs);
  }

  timedOut(): SearchStep {
    this.stop();
    const message = 'the network has no free volunteers; try again in a while';
    return { type: 'fail', error: new ChorusError('timeout', message) };
  }

  /** Who is kept away from for more than being late stays so. */
  #noteLate(peers: readonly PeerId[]): void {
    for (const peer of peers) if (this.isNews([peer])) this.#late.set(peer, 'now');
  }
}

/** Why a route that the server gave is of no use for an answer of so many positions; null if it is. */
export function unusable(
  route: Route,
  { self, model, manifest }: RequesterConfig,
  positions: number,
): ChorusError | null {
  try {
    checkRoute(route, self, model, manifest.config.layers);
  } catch (error) {
    return toChorusError(error);
  }
  return route.capacity < positions ? new ChorusError('too-long', 'the route is too short') : null;
}
