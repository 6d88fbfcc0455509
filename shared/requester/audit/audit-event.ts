import type { PeerId } from '../../ids.ts';
import type { CheckFailure, Finding, SpanCheck, StageCheck } from '../../judge/finding.ts';
import type { Span, Testimony } from '../../judge/statement.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import type { PeerMessage, RowsMessage } from '../../wire/peer-message.ts';

/** Two replicas of a stage that did not agree. The audit waits for `settled`. */
export interface Dispute {
  readonly span: Span;
  readonly stage: number;
  readonly finding: Finding;
  readonly primary: Testimony;
  readonly shadow: Testimony;
}

/** What happens to the requester's check of one session (session-audit.ts). */
export type AuditEvent =
  /** The requester's own link to a replica is open, or cannot be had, or is gone. */
  | { readonly type: 'linked' | 'unreachable'; readonly peer: PeerId }
  /** A shadow has left because of what it says the stage before sent it. */
  | { readonly type: 'refused'; readonly peer: PeerId }
  /** Tokens went to the replicas of stage 0. */
  | { readonly type: 'sent'; readonly rows: RowsMessage }
  /** Logits came from the last primary, in order. */
  | {
      readonly type: 'received';
      readonly rows: RowsMessage;
      /** End of the positions this covers (a prompt chunk may bring no logits). */
      readonly end: number;
    }
  | { readonly type: 'cut'; readonly epoch: number; readonly position: number }
  /** The answer is complete: check what is left of it now. */
  | { readonly type: 'close-span' }
  | { readonly type: 'message'; readonly from: PeerId; readonly message: PeerMessage }
  | { readonly type: 'verified'; readonly ticket: number; readonly isGood: boolean }
  | { readonly type: 'signed'; readonly ticket: number; readonly signature: Uint8Array<ArrayBuffer> }
  /** A third replica cleared the primary; the shadow is dropped if it was the one that was wrong. */
  | {
      readonly type: 'settled';
      readonly index: number;
      readonly stage: number;
      readonly wrong: 'nobody' | 'shadow';
      readonly arbiter: NonNullable<StageCheck['arbiter']>;
    }
  | { readonly type: 'time' };

export type AuditEffect =
  | { readonly type: 'connect'; readonly peer: PeerId; readonly webrtc: boolean }
  | { readonly type: 'send'; readonly to: PeerId; readonly message: PeerMessage }
  /** To be answered by `verified` and `signed`. */
  | {
      readonly type: 'verify';
      readonly ticket: number;
      readonly publicKey: Uint8Array<ArrayBuffer>;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly signature: Uint8Array<ArrayBuffer>;
    }
  | { readonly type: 'sign'; readonly ticket: number; readonly bytes: Uint8Array<ArrayBuffer> }
  /** In the order of spans; `agreed` are the replicas that took part and agreed. */
  | { readonly type: 'checked'; readonly check: SpanCheck; readonly agreed: readonly PeerId[] }
  | { readonly type: 'dispute'; readonly dispute: Dispute }
  /**
   * A replica failed without a third being needed. A shadow has been dropped by the audit already (a `close` was sent);
   * with a failed primary the session is of no more use. `partner` is the other party of a mismatch that is one's word
   * against the other's. `isStageBare` if the stage has no shadow left.
   */
  | {
      readonly type: 'failed';
      readonly peer: PeerId;
      readonly partner: PeerId | null;
      readonly stage: number;
      readonly role: 'primary' | 'shadow';
      readonly code: CheckFailure;
      readonly span: Span | null;
      readonly isStageBare: boolean;
      readonly proof: Proof | null;
    };
