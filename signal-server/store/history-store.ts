import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { CheckCounts } from '#shared/judge/finding.ts';
import type { PeerKind } from '#shared/wire/peer-kind.ts';

export interface PastSession {
  readonly id: SessionId;
  readonly model: Digest;
  readonly requester: PeerId;
  readonly issuedMs: number;
  readonly endedMs: number;
  readonly outcome: 'done' | 'cancelled' | 'failed';
  readonly tokens: number;
  /** That each replica computed. */
  readonly positions: number;
  readonly tokensPerSecond: number | null;
  /** One per stage. */
  readonly primaries: readonly PeerId[];
  /** Of all stages. */
  readonly shadows: readonly PeerId[];
  readonly faults: readonly PeerId[];
  /** Spans by verdict, as its requester reported them. */
  readonly checks: CheckCounts;
}

export interface Totals extends CheckCounts {
  readonly finished: number;
  readonly failed: number;
  readonly tokens: number;
}

export interface SeenVolunteer {
  readonly kind: PeerKind;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  readonly sessions: number;
  /** Tokens that passed its stage, of questions and answers, run or run again, as requesters reported them. */
  readonly tokens: number;
  readonly faults: number;
}

export interface HistoryAppends {
  volunteerSeen(id: PeerId, kind: PeerKind, atMs: number): Promise<void>;
  /** Counts a session once, for itself and for those volunteers that were seen. */
  sessionEnded(session: PastSession): Promise<void>;
  /** Drops sessions that ended before `beforeMs`; the totals go on counting them. */
  prune(beforeMs: number): Promise<void>;
}

export interface HistoryReads {
  /** The sums of all sessions ever, those that are pruned included. */
  readonly totals: Totals;
  /** Null for a key that was never seen. */
  volunteer(id: PeerId): SeenVolunteer | null;
}

/** Port: volunteers that were seen, and sessions that have ended. */
export interface HistoryStore extends HistoryAppends, HistoryReads {}
