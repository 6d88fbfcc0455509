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

/**
 * How spans came to a key: witnessed by an anchor in a session of the server's own (`own`) or of another requester
 * (`others`), or `agreed` with a replica that is none of the server's.
 */
export type SpanSource = 'own' | 'others' | 'agreed';

/** The spans of a key in one numeric class, by their source. */
export interface EarnedSpans extends Readonly<Record<SpanSource, number>> {
  /** When the first of `own` and `others` came; null before that. */
  readonly firstWitnessedMs: number | null;
}

/** The reason why a key lost what it had earned in a session that the server itself held. */
export interface HiddenFault {
  readonly numericClass: string;
  /** For people. */
  readonly reason: string;
  readonly atMs: number;
}

export interface TrustAppends {
  /** Adds to the spans of a key. */
  credit(volunteer: PeerId, numericClass: string, source: SpanSource, spans: number, atMs: number): Promise<void>;
  /** Drops what was witnessed of a key, in every numeric class, and keeps the reason in the place of an earlier one. */
  failHidden(volunteer: PeerId, fault: HiddenFault): Promise<void>;
  /** Records the fault with its proof, if that is there still, drops all that the key has earned and suspends it, all or nothing. */
  convict(fault: KeptFault, proof: string | null, suspension: Suspension): Promise<void>;
  /** Drops the reasons of `failHidden` from before `beforeMs`. */
  prune(beforeMs: number): Promise<void>;
}

export interface TrustReads {
  earned(volunteer: PeerId, numericClass: string): EarnedSpans;
  hiddenFault(volunteer: PeerId): HiddenFault | null;
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
