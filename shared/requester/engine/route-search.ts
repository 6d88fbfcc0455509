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
  /** Those that stalled in this answer; true for each that was let back. */
  readonly #stalled = new Map<PeerId, boolean>();
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

  exclude(peers: readonly PeerId[], nowMs: number): void {
    for (const peer of peers) this.#excluded.set(peer, nowMs + EXCLUDE_MS);
  }

  /** True if one of these is not kept away from yet. */
  isNews(peers: readonly PeerId[]): boolean {
    return peers.some((peer) => !this.#excluded.has(peer) && !this.#ofAnswer.has(peer));
  }

  /** Keeps away from these for the answer: they differed, and nothing shows who is wrong. */
  doubt(peers: readonly PeerId[]): void {
    for (const peer of peers) this.#ofAnswer.add(peer);
  }

  /** Keeps away from those that stall: who answers at all only as long as the answer is made. */
  leaveOut(peers: readonly PeerId[], why: Stall['why'], nowMs: number): void {
    for (const peer of peers) if (why !== 'unclear' && !this.#stalled.has(peer)) this.#stalled.set(peer, false);
    if (why === 'silent') this.exclude(peers, nowMs);
    else this.doubt(peers);
  }

  /**
   * Lets those back that stalled before these did, each once an answer: a busy machine stands still for a moment, and a stage
   * that nobody checks is worse. False if there is nobody.
   */
  forgive(but: readonly PeerId[]): boolean {
    const late = [...this.#stalled].filter(([peer, isForgiven]) => !isForgiven && !but.includes(peer));
    for (const [peer] of late) {
      this.#stalled.set(peer, true);
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
    this.#stalled.clear();
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
