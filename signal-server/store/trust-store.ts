import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { StageRange } from '#shared/model/stage.ts';

/** Proofs are kept for the operator: this many of the newest, none larger than this. */
export const MAX_PROOFS = 200;
export const MAX_PROOF_CHARACTERS = 512 * 1024;

/** A proven fault, as it is kept. */
export interface KeptFault {
  readonly session: SessionId;
  readonly volunteer: PeerId;
  readonly model: Digest;
  readonly range: StageRange;
  /** For people. */
  readonly reason: string;
  readonly atMs: number;
}

export interface Suspension {
  /** How often the key has been suspended, this time included. */
  readonly times: number;
  readonly untilMs: number;
  readonly reason: string;
}

export interface TrustAppends {
  /** Adds to the spans of a key, and to those of them that this requester brought. */
  credit(volunteer: PeerId, numericClass: string, requester: PeerId, spans: number): Promise<void>;
  /** Drops the shares of the requesters: they are no longer needed once a key is not new. */
  forgetSources(volunteer: PeerId, numericClass: string): Promise<void>;
  /** Takes the place of an earlier complaint of this requester. */
  complain(volunteer: PeerId, requester: PeerId, atMs: number): Promise<void>;
  /** Drops all that a key has earned, in every numeric class, and the complaints of it. */
  reset(volunteer: PeerId): Promise<void>;
  /** Records the fault with its proof, resets the key and suspends it, all or nothing. */
  convict(fault: KeptFault, proof: string, suspension: Suspension): Promise<void>;
  /** Drops complaints from before `beforeMs`. */
  prune(beforeMs: number): Promise<void>;
}

export interface TrustReads {
  /** Spans credited to a key in a numeric class. */
  spans(volunteer: PeerId, numericClass: string): number;
  /** The part of these spans that one requester brought while the key was new. */
  spansFrom(volunteer: PeerId, numericClass: string, requester: PeerId): number;
  /** Requesters that complained of this volunteer since `sinceMs`. */
  complaints(volunteer: PeerId, sinceMs: number): number;
  /** The newest, over or not. */
  suspension(volunteer: PeerId): Suspension | null;
  /** Keys whose suspension is not over at `atMs`. */
  suspendedAt(atMs: number): number;
  isProven(session: SessionId, volunteer: PeerId): boolean;
  /** Newest first. */
  faults(count: number): readonly KeptFault[];
  /**
   * The proof as it was reported, for the operator; null if it is no longer kept. With a promise: together they may be
   * 100 MB.
   */
  proof(session: SessionId, volunteer: PeerId): Promise<string | null>;
}

/** Port: the work of each key, its faults and its suspensions. Times are wall-clock milliseconds. */
export interface TrustStore extends TrustAppends, TrustReads {}
