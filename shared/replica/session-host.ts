import type { Question, Reply } from '../ask.ts';
import type { Now } from '../clock.ts';
import type { SessionId } from '../ids.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import type { Seat } from './admission.ts';
import type { ReplicaConfig, ReplicaCounts, ReplicaSessionEffect } from './replica-event.ts';
import type { Show } from './shown-rows.ts';

/** The remains of a session that is over. */
export interface EndedSession {
  readonly id: SessionId;
  readonly seat: Seat;
  readonly leaseEndMs: number;
  /** Why it ended, for a requester that it did not know yet how to reach. */
  readonly untold: PeerMessage | null;
}

/** The engine as its sessions use it. */
export interface SessionHost extends Now {
  readonly config: ReplicaConfig;
  readonly show: Show;
  perform(effect: ReplicaSessionEffect): void;
  ask(what: Question, then: (reply: Reply) => void): void;
  /** Positions were run, or a commit was sent. */
  count(what: keyof ReplicaCounts, by: number): void;
  /** The session is over and gives back what it holds. */
  ended(session: EndedSession): void;
}
