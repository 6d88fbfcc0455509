import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { Route } from '../../route/route.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';
import { Refusals, type RowsRefusal } from './refusals.ts';
import type { CheckHost } from './session-check.ts';
import type { SessionLost } from './session-news.ts';
import { CONTRADICTION, readFault } from './told-fault.ts';

/** The faults that peers tell of, and their meaning for a session. */
export class ToldFaults {
  readonly #host: CheckHost;
  readonly #refusals: Refusals;
  readonly #isGone: (peer: PeerId) => boolean;

  /** `isGone` tells whom this side itself could not reach, or lost. */
  constructor(host: CheckHost, isGone: (peer: PeerId) => boolean = () => false) {
    this.#host = host;
    this.#isGone = isGone;
    this.#refusals = new Refusals(host.session.route);
  }

  get deadlineMs(): number {
    return this.#refusals.deadlineMs;
  }

  /** True while a second replica's word is waited for, that would show whose fault it is. */
  get isWeighing(): boolean {
    return this.#refusals.isWeighing;
  }

  /** Takes a fault and returns its meaning: its sender, a shadow, has left the session; the session is lost; or rows were refused. */
  take(from: PeerId, fault: Extract<PeerMessage, { type: 'fault' }>): 'shadow-left' | 'lost' | 'refusal' | null {
    const told = readFault(from, fault, this.#host.session.route);
    if (told?.type === 'lost') this.#host.tell(this.#seen(told));
    if (told?.type === 'refusal') this.#refusals.add(told, this.#host.nowMs);
    return told?.type ?? null;
  }

  /** Who says what this side sees itself is no cause of it. */
  #seen(lost: SessionLost): SessionLost {
    const { told: _told, ...known } = lost;
    return lost.blamed.every((peer) => this.#isGone(peer)) ? known : lost;
  }

  /**
   * Shadows that have left for what they say the stage before sent them, now that nobody else is waited for. One after the
   * other: what the hearer does about one comes before the meaning of the next is told.
   */
  *refusing(): Generator<PeerId> {
    for (const refusal of this.#refusals.take(this.#host.nowMs)) {
      const shadow = this.#shadowOf(refusal);
      if (shadow !== null) yield shadow;
    }
  }

  #shadowOf(refusal: RowsRefusal): PeerId | null {
    const { stage, sender, receivers, error } = refusal;
    const { route, length } = this.#host.session;
    const loss = lossBy(refusal, route);
    if (receivers.length > 1 && error.code !== 'link-lost') {
      const at = { start: length, end: length, proof: null };
      const fault = { volunteer: sender, stage: stage - 1, role: 'primary', code: 'rows-refused', ...at } as const;
      this.#host.tell({ type: 'fault', fault });
    }
    if (loss === null) return receivers[0]!;
    this.#host.tell(loss);
    return null;
  }
}

/** The loss of a session by the refusal of a primary, or of more than one replica; null for that of one shadow. */
export function lossBy({ stage, sender, receivers, error }: RowsRefusal, { stages }: Route): SessionLost | null {
  if (receivers.length > 1) return { type: 'lost', error, blamed: [sender] };
  const primary = stages[stage]!.primary.id;
  if (receivers[0] !== primary) return null;
  const doubt = new ChorusError(error.code, CONTRADICTION);
  return { type: 'lost', error: doubt, blamed: [primary, sender], isDoubt: true };
}
