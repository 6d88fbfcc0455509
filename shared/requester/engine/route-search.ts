import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { EXCLUDE_MS, ROUTE_TIMEOUT_MS } from '../../limits.ts';

/** What to do about the server's answer, or its silence. */
export type SearchStep =
  /** Ask (again) for a route without these. */
  | { readonly type: 'ask'; readonly exclude: readonly PeerId[] }
  | { readonly type: 'fail'; readonly error: ChorusError };

/** Most that one request may name. */
const MAX_EXCLUDED = 64;
/** Refusals that may come from who was excluded. */
const SCARCE = new Set(['no-coverage', 'too-few-volunteers', 'all-busy']);

/** Waiting for a route, and whom to keep away from. */
export class RouteSearch {
  readonly #self: PeerId;
  /** Until when each is kept away from. */
  readonly #excluded = new Map<PeerId, number>();
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

  /** Those to leave out now. No peer has a link to itself. */
  excluded(nowMs: number): PeerId[] {
    for (const [peer, untilMs] of this.#excluded) if (untilMs <= nowMs) this.#excluded.delete(peer);
    return [this.#self, ...this.#excluded.keys()].slice(0, MAX_EXCLUDED);
  }

  start(nowMs: number): SearchStep {
    this.wait(nowMs);
    return { type: 'ask', exclude: this.excluded(nowMs) };
  }

  /** The server has not forgotten. */
  wait(nowMs: number): void {
    this.#byMs = nowMs + ROUTE_TIMEOUT_MS;
  }

  /** True if it was on. */
  stop(): boolean {
    const { isOn } = this;
    this.#byMs = Infinity;
    return isOn;
  }

  /** Better those who failed once than nobody. */
  refused(error: ChorusError, nowMs: number): SearchStep {
    this.stop();
    if (this.#excluded.size === 0 || !SCARCE.has(error.code)) return { type: 'fail', error };
    this.#excluded.clear();
    return this.start(nowMs);
  }

  timedOut(): SearchStep {
    this.stop();
    const message = 'the network has no free volunteers; try again in a while';
    return { type: 'fail', error: new ChorusError('timeout', message) };
  }
}
