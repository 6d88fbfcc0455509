import type { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { HopTiming } from '../../wire/peer-message.ts';
import type { CheckEffect } from '../check-news.ts';
import type { Lap } from '../feed/requester-session.ts';
import type { PeerEvent, ReplayReply, SessionReply } from '../requester-event.ts';

/** What a session of a requester takes. */
export type SessionEvent = SessionReply | ReplayReply | PeerEvent | { readonly type: 'time' };

/** The session cannot go on; `blamed` are those who may be why. */
export interface SessionLost {
  readonly type: 'lost';
  readonly error: ChorusError;
  readonly blamed: readonly PeerId[];
  /** Who says so of others. */
  readonly told?: PeerId;
}

/** What it asks for, and what becomes of it. */
export type LiveEffect =
  | CheckEffect
  /** Every stage is open. */
  | { readonly type: 'opened' }
  /** Something came back; null if it is of no use but that there is room for more. */
  | { readonly type: 'lap'; readonly lap: Lap | null; readonly hops: readonly HopTiming[] }
  | SessionLost;

/** What it was fed, in which runs, and the verdicts on that. */
export type SessionAccount = Pick<Evidence, 'route' | 'envelope' | 'tokens' | 'runs' | 'spans' | 'anchor'>;
