import type { Envelope } from '../crypto/envelope.ts';
import type { ErrorCode } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import type { Commit, Reveal, Signed } from '../judge/statement.ts';
import type { RunTimings } from '../rows/compute.ts';
import type { Rows } from '../rows/rows.ts';

/** The times that one stage adds to the frames that pass it, so that the requester can draw the route. */
export interface HopTiming extends RunTimings {
  readonly stage: number;
  /** The kind of link on which the stage passes its results on. */
  readonly onward: 'webrtc' | 'relay';
}

/**
 * Messages between requester and replicas, and between replicas of neighbouring stages.
 *
 *   requester -> stage 0 replicas, primary of stage i -> replicas of stage i + 1    open, rows, cut, close
 *   last primary -> requester                               ready, rows (kind logits)
 *   any replica -> the peer that sent it `open`             fault (a primary's is passed on backward to the requester)
 *   requester -> every replica, on a link of its own        audit, check, challenge, recall, record, progress,
 *                                                           close (of a shadow)
 *   every replica -> requester                              commit, reveal, recalled, recorded, progressed
 *
 * The codec is in peer-codec.ts; docs/protocol.md has the bytes.
 */
export type PeerMessage =
  /** Join a session as `stage`, by the seat that the server gave the receiver. It opens its stage and passes this on. */
  | { readonly type: 'open'; readonly session: SessionId; readonly stage: number }
  /** Every stage is open. */
  | { readonly type: 'ready'; readonly session: SessionId }
  | RowsMessage
  /** Forget everything at `position` and after; rows of older epochs are dropped from here on. */
  | { readonly type: 'cut'; readonly session: SessionId; readonly epoch: number; readonly position: number }
  | { readonly type: 'close'; readonly session: SessionId; readonly reason: string }
  | {
      readonly type: 'fault';
      readonly session: SessionId;
      readonly stage: number;
      readonly code: ErrorCode;
      readonly message: string;
      /** The volunteer at fault, where the reporter knows: one that cannot be reached, or itself. */
      readonly volunteer: PeerId | null;
    }
  /** The requester will check this session; `anchor` is the end of its seed chain (judge/seed-chain.ts), 32 bytes. */
  | { readonly type: 'audit'; readonly session: SessionId; readonly anchor: Uint8Array<ArrayBuffer> }
  /** Commit to this span. A shadow computes it now. Spans follow each other without a gap, but for cuts. */
  | {
      readonly type: 'check';
      readonly session: SessionId;
      readonly epoch: number;
      readonly index: number;
      readonly start: number;
      readonly end: number;
    }
  | { readonly type: 'commit'; readonly commit: Signed<Commit> }
  /** All have committed: the seed of span `index`, and the requester's own commit for it (stage = number of stages). */
  | {
      readonly type: 'challenge';
      readonly session: SessionId;
      readonly index: number;
      readonly seed: Uint8Array<ArrayBuffer>;
      readonly commit: Signed<Commit>;
    }
  | { readonly type: 'reveal'; readonly reveal: Signed<Reveal> }
  /** Send the input rows of these positions back, to settle a difference; at most a chunk at a time. */
  | { readonly type: 'recall'; readonly session: SessionId; readonly start: number; readonly end: number }
  | { readonly type: 'recalled'; readonly session: SessionId; readonly rows: Rows }
  /**
   * Sign what you computed of positions [0, end), with chains under this salt of 32 bytes (receipt/evidence/attestation.ts), and
   * what you claim credit for, with sketches under this seed of 32 bytes (credit/claim.ts).
   */
  | {
      readonly type: 'record';
      readonly session: SessionId;
      readonly end: number;
      /** Which record of the session this is to be, from 1 on. */
      readonly number: number;
      readonly salt: Uint8Array<ArrayBuffer>;
      readonly seed: Uint8Array<ArrayBuffer>;
    }
  | {
      readonly type: 'recorded';
      readonly session: SessionId;
      /** Raw Ed25519 key, 32 bytes, that signed the envelope and the claim. */
      readonly publicKey: Uint8Array<ArrayBuffer>;
      readonly envelope: Envelope;
      /** As in credit/claim-codec.ts, for the server. */
      readonly claim: Uint8Array<ArrayBuffer>;
      /** Ed25519 signature on the bytes of the claim. */
      readonly claimSignature: Uint8Array<ArrayBuffer>;
    }
  /** Say how far the session is; to be answered at once, whatever compute is at. */
  | { readonly type: 'progress'; readonly session: SessionId; readonly nonce: number }
  | ProgressedMessage
  | { readonly type: 'ping'; readonly nonce: number }
  | { readonly type: 'pong'; readonly nonce: number };

export interface RowsMessage {
  readonly type: 'rows';
  readonly session: SessionId;
  /** The stage this goes to; the number of stages where it goes to the requester. */
  readonly stage: number;
  /** Grows by one with each cut of the session. */
  readonly epoch: number;
  /** Grows by one with each rows message of the session, from 0, the same number all the way round. */
  readonly sequence: number;
  /** floor(start / CHUNK_POSITIONS); rows never straddle two chunks. */
  readonly chunk: number;
  readonly logitsFrom: number;
  readonly rows: Rows;
  /** SHA-256 of rows.bytes. */
  readonly digest: Uint8Array<ArrayBuffer>;
  readonly hops: readonly HopTiming[];
}

/** How far one replica is with a session; the counts are of rows messages, by their sequence numbers. */
export interface ProgressedMessage {
  readonly type: 'progressed';
  readonly session: SessionId;
  /** Of the question. */
  readonly nonce: number;
  /** `unknown`: no such session, or no longer. */
  readonly step: 'unknown' | 'opening' | 'open';
  /** All rows messages with lower numbers have come in. */
  readonly received: number;
  /** All with lower numbers were passed on; 0 for a shadow, which passes nothing on. */
  readonly sent: number;
}

/** The session that a message is about. */
export function sessionOf(message: PeerMessage): SessionId | null {
  if (message.type === 'commit') return message.commit.statement.session;
  if (message.type === 'reveal') return message.reveal.statement.session;
  return 'session' in message ? message.session : null;
}
