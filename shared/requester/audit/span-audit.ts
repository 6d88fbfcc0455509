import type { SignedBytes } from '../../ask.ts';
import type { PeerId } from '../../ids.ts';
import type { ComparedDraws, Redraw, Sampled } from '../../judge/draws.ts';
import type { CheckFailure, Finding, StageCheck } from '../../judge/finding.ts';
import type { Span, Testimony } from '../../judge/statement.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import type { PeerMessage, RowsMessage } from '../../wire/peer-message.ts';
import type { RecordSource } from './audit-replica.ts';

/** Two replicas of a stage that did not agree. The audit waits for `settled`. */
export interface Dispute {
  readonly span: Span;
  readonly stage: number;
  /** `draw`: their rows agree, and draw different tokens. */
  readonly about: 'rows' | 'draw';
  /** The tokens drawn from the primary's rows; null where none was, and for hidden rows. */
  readonly sampled: Sampled | null;
  readonly finding: Finding;
  readonly primary: Testimony;
  readonly shadow: Testimony;
}

/** A third replica that repeated a stage of a span, and the tokens that it draws. */
export interface Third {
  readonly by: NonNullable<StageCheck['arbiter']>;
  /** Null where nothing was drawn from the stage. */
  readonly draws: ComparedDraws | null;
}

/** The end of a dispute that leaves the primary in its place. */
export interface Clearance {
  readonly index: number;
  readonly stage: number;
  /** The shadow is dropped if it was the one that was wrong. */
  readonly wrong: 'nobody' | 'shadow';
  /** The third that cleared it; null where nobody could be asked whose draw goes on. */
  readonly third: Third | null;
}

/** A token that takes the place of the primary's draw. Nothing is judged before the session is cut back to its position. */
export interface TokenRedraw extends Redraw {
  readonly stage: number;
  /** The replica whose rows drew it. */
  readonly by: PeerId;
}

/**
 * A replica that failed without a third being needed. A shadow has been dropped by the audit already (a `close` was sent);
 * with a failed primary the session is of no more use.
 */
export interface AuditFailure {
  readonly peer: PeerId;
  /** The other party of a mismatch that is one's word against the other's. */
  readonly partner: PeerId | null;
  readonly stage: number;
  readonly role: 'primary' | 'shadow';
  readonly code: CheckFailure;
  readonly span: Span | null;
  /** True if the stage has no shadow left. */
  readonly isStageBare: boolean;
  readonly proof: Proof | null;
}

/** The services that an audit uses, and the hearer of its news. */
export interface AuditHost {
  readonly nowMs: number;
  connect(peer: PeerId, webrtc: boolean): void;
  send(to: PeerId, message: PeerMessage): void;
  sign(bytes: Uint8Array<ArrayBuffer>, then: (signature: Uint8Array<ArrayBuffer>) => void): void;
  verify(signed: SignedBytes, then: (isGood: boolean) => void): void;
  /** The first open span of the book has its verdict. */
  judged(): void;
  /** Comes before the verdict on the span that ends with it. */
  redrawn(redraw: TokenRedraw): void;
  dispute(dispute: Dispute): void;
  failed(failure: AuditFailure): void;
  /** A shadow was wrong, as `third` found, and was the last one of its stage. */
  bare(shadow: PeerId, third: Third | null): void;
}

/** The requester's check of one session, as events come to it. */
export interface SpanAudit {
  /** When `onTime` is due, on the clock of `nowMs`; Infinity with nothing to wait for. */
  readonly deadlineMs: number;
  /** End of the chain of the seeds; null where nothing is checked. */
  readonly anchor: Uint8Array<ArrayBuffer> | null;
  /** Replicas that were not dropped. */
  readonly live: readonly RecordSource[];
  start(): void;
  /** The requester's own link to a replica is open. */
  linked(peer: PeerId): void;
  /** There is no link to a replica (any more). */
  unreachable(peer: PeerId): void;
  /** A shadow has left because of what it says the stage before sent it. */
  refused(peer: PeerId): void;
  /** Logits of positions before `end` came from the last primary, in order; a prompt chunk may bring none. */
  received(rows: RowsMessage, end: number): void;
  /** The session is cut back to `position`, or, after `redrawn`, holds no more than that. */
  cut(epoch: number, position: number): void;
  /** The answer is complete: its last positions are checked now. */
  closeSpan(): void;
  onMessage(from: PeerId, message: PeerMessage): void;
  settled(clearance: Clearance): void;
  onTime(): void;
}
