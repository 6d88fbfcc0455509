import type { RandomBytes } from '../clock.ts';
import type { ChorusError } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import type { SignedSeat } from '../route/seat.ts';
import type { RunResult } from '../rows/compute.ts';
import type { Rows } from '../rows/rows.ts';
import type { HopTiming, PeerMessage } from '../wire/peer-message.ts';
import type { BackendInfo } from '../wire/worker-message.ts';
import type { LoadedRange } from './admission.ts';

/** Something that a session asked for is done, or has failed. */
export type ReplicaSessionReply =
  | { readonly type: 'opened' | 'cut-done'; readonly session: SessionId }
  | {
      readonly type: 'connected';
      readonly session: SessionId;
      readonly peer: PeerId;
      readonly transport: HopTiming['onward'];
    }
  | { readonly type: 'connect-failed'; readonly session: SessionId; readonly peer: PeerId; readonly error: ChorusError }
  | { readonly type: 'ran'; readonly session: SessionId; readonly result: RunResult }
  /** The stage's compute does not do its work. */
  | { readonly type: 'failed'; readonly session: SessionId; readonly error: ChorusError }
  /** A counted message is within the link's window, or lost with it. */
  | { readonly type: 'sent'; readonly session: SessionId; readonly peer: PeerId; readonly bytes: number };

export type ReplicaEvent =
  | { readonly type: 'message'; readonly from: PeerId; readonly message: PeerMessage }
  /** The server has given this volunteer a part in a session; its signature is good. */
  | { readonly type: 'seat'; readonly seat: SignedSeat }
  /** The server takes it back. */
  | { readonly type: 'unseat'; readonly session: SessionId }
  | ReplicaSessionReply
  | { readonly type: 'link-lost'; readonly peer: PeerId }
  /** Whether new sessions are taken. */
  | { readonly type: 'accept'; readonly isAccepting: boolean }
  /** Every session ends with this fault: the worker died, or the volunteer leaves. */
  | { readonly type: 'stop'; readonly error: ChorusError }
  | { readonly type: 'time' };

export type ReplicaSessionEffect =
  | { readonly type: 'connect'; readonly session: SessionId; readonly peer: PeerId; readonly webrtc: boolean }
  | { readonly type: 'send'; readonly to: PeerId; readonly message: PeerMessage }
  /** To be answered by `sent`; for peers that may be slower than the messages to them. */
  | {
      readonly type: 'send-counted';
      readonly session: SessionId;
      readonly to: PeerId;
      readonly message: PeerMessage;
      readonly bytes: number;
    }
  | { readonly type: 'open'; readonly session: SessionId; readonly capacity: number }
  | { readonly type: 'run'; readonly session: SessionId; readonly input: Rows; readonly logitsFrom: number }
  | { readonly type: 'cut'; readonly session: SessionId; readonly position: number }
  | { readonly type: 'close'; readonly session: SessionId };

export type ReplicaEffect = ReplicaSessionEffect;

export interface ReplicaConfig {
  readonly self: PeerId;
  /** Raw Ed25519 key of `self`, which signs what is said in a check. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly random: RandomBytes;
  readonly loaded: LoadedRange;
  /** The device that its signed records name. */
  readonly backend: Pick<BackendInfo, 'numericClass' | 'runtimeVersion'>;
  /** Sessions at once. */
  readonly slots: number;
}

/** The work of one volunteer so far. */
export interface ReplicaCounts {
  /** Positions run. */
  readonly positions: number;
  /** Spans it ran again to check others, and stood for with its signature. */
  readonly spansShadowed: number;
  /** Spans of its own work that it stood for. */
  readonly spansCommitted: number;
}

export const NO_COUNTS: ReplicaCounts = { positions: 0, spansShadowed: 0, spansCommitted: 0 };

export function addCounts(a: ReplicaCounts, b: ReplicaCounts): ReplicaCounts {
  return {
    positions: a.positions + b.positions,
    spansShadowed: a.spansShadowed + b.spansShadowed,
    spansCommitted: a.spansCommitted + b.spansCommitted,
  };
}
