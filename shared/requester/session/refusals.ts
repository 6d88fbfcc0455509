import type { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { LINK_PING_MS, LINK_PING_TIMEOUT_MS, REFUSAL_WAIT_MS } from '../../limits.ts';
import type { Route } from '../../route/route.ts';
import type { ToldFault } from './told-fault.ts';

/** Replicas of a stage that have ended their session for what they say its sender sent them. */
export interface RowsRefusal {
  /** The stage that was sent such rows. */
  readonly stage: number;
  /** The primary of the stage before. */
  readonly sender: PeerId;
  readonly receivers: readonly PeerId[];
  /** The error that the first of them told. */
  readonly error: ChorusError;
}

interface Open extends RowsRefusal {
  /** Replicas that refused by their own word. */
  readonly receivers: PeerId[];
  /** The primary of the stage, where its refusal came second-hand. */
  told: PeerId | null;
  /** The receivers only say that nothing comes any more. */
  readonly isLoss: boolean;
  /** Infinity once it was told. */
  byMs: number;
}

/** The volunteers before the sender notice as late as this that it is gone, and say so. */
const LOSS_WAIT_MS = LINK_PING_TIMEOUT_MS + LINK_PING_MS;

/**
 * Complaints of a session's replicas about the senders of their rows. None is signed, so each waits a little for a second
 * replica to say the same: one's word against another's shows only that one of the two is wrong. A second-hand refusal is
 * heard, but is not counted as the second: two replicas' own words are needed to show the sender at fault.
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

  /** True while one is open that is more than a loss: that of a sender which is gone can be found out in other ways. */
  get isWeighing(): boolean {
    return [...this.#open.values()].some(({ isLoss, byMs }) => !isLoss && byMs !== Infinity);
  }

  /** `receiver`, a replica of `stage`, has refused what the stage before sent it, or is not sent anything any more. */
  add({ stage, receiver, error, isHearsay }: Extract<ToldFault, { type: 'refusal' }>, nowMs: number): void {
    const sender = this.#route.stages[stage - 1]!.primary.id;
    const isLoss = error.code === 'link-lost';
    const before = this.#open.get(sender);
    // A sender whose rows were refused ends its session, and so is lost to its other receivers.
    if (isLoss && before?.isLoss === false) return;
    const fresh = { stage, sender, receivers: [], told: null, error, isLoss, byMs: Infinity };
    const refusal = before?.isLoss === isLoss ? before : fresh;
    this.#open.set(sender, refusal);
    if (refusal.receivers.includes(receiver) || refusal.told === receiver) return;
    if (isHearsay) refusal.told = receiver;
    else refusal.receivers.push(receiver);
    const isAlone = this.#route.stages[stage]!.shadows.length === 0;
    const waitMs = isLoss ? LOSS_WAIT_MS : REFUSAL_WAIT_MS;
    refusal.byMs = refusal.receivers.length > 1 || isAlone ? nowMs : nowMs + waitMs;
  }

  /** Refusals that wait for no second replica any more; one that a replica joins later comes again. */
  take(nowMs: number): RowsRefusal[] {
    const due = [...this.#open.values()].filter(({ byMs }) => byMs <= nowMs);
    for (const refusal of due) refusal.byMs = Infinity;
    return due.map(({ stage, sender, receivers, told, error }) => {
      const heard = receivers.length > 1 || told === null ? [...receivers] : [told];
      return { stage, sender, receivers: heard, error };
    });
  }
}
