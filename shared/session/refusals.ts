import type { ChorusError } from '../errors.ts';
import type { PeerId } from '../ids.ts';
import { REFUSAL_WAIT_MS } from '../limits.ts';
import type { Route } from './route.ts';

/** Replicas of a stage that have ended their session for what they say its sender sent them. */
export interface Refusal {
  /** The stage that was sent such rows. */
  readonly stage: number;
  /** The primary of the stage before. */
  readonly sender: PeerId;
  readonly receivers: readonly PeerId[];
  /** What the first of them said. */
  readonly error: ChorusError;
}

interface Open extends Refusal {
  readonly receivers: PeerId[];
  /** Infinity once it was told. */
  byMs: number;
}

/**
 * What the replicas of a session say of those who send them rows. Nothing of it is signed, so it waits a little for a second
 * one to say the same: one's word against another's shows only that one of the two is wrong.
 */
export class Refusals {
  readonly #route: Route;
  readonly #open = new Map<PeerId, Open>();

  constructor(route: Route) {
    this.#route = route;
  }

  get deadlineMs(): number {
    return Math.min(Infinity, ...[...this.#open.values()].map(({ byMs }) => byMs));
  }

  /** `receiver`, a replica of `stage`, has refused what the stage before sent it. */
  add(stage: number, receiver: PeerId, error: ChorusError, nowMs: number): void {
    const sender = this.#route.stages[stage - 1]!.primary.id;
    const refusal = this.#open.get(sender) ?? { stage, sender, receivers: [], error, byMs: Infinity };
    this.#open.set(sender, refusal);
    if (refusal.receivers.includes(receiver)) return;
    refusal.receivers.push(receiver);
    const isAlone = this.#route.stages[stage]!.shadows.length === 0;
    refusal.byMs = refusal.receivers.length > 1 || isAlone ? nowMs : nowMs + REFUSAL_WAIT_MS;
  }

  /** Those that wait for nobody any more, each once for each that joins it. */
  take(nowMs: number): Refusal[] {
    const due = [...this.#open.values()].filter(({ byMs }) => byMs <= nowMs);
    for (const refusal of due) refusal.byMs = Infinity;
    return due.map(({ receivers, ...refusal }) => ({ ...refusal, receivers: [...receivers] }));
  }
}
