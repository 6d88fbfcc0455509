import type { RandomBytes } from '../clock.ts';
import type { Envelope } from '../crypto/envelope.ts';
import type { ChorusError } from '../errors.ts';
import type { Digest, PeerId, SessionId } from '../ids.ts';
import type { Manifest } from '../model/manifest.ts';
import type { Proof } from '../proof/proof-schema.ts';
import type { Route } from '../route/route.ts';
import type { PeerControlMessage } from '../wire/control-message.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import type { AnswerEvent, GenerateRequest } from './answer-event.ts';

export type Release = Extract<PeerControlMessage, { type: 'release' }>;
export type Rest = Extract<PeerControlMessage, { type: 'rest' }>;

/** A route in the server's envelope: the signature is good and it holds this. */
export interface SignedRoute {
  readonly route: Route;
  readonly envelope: Envelope;
}

/** What was asked for in the name of a session: its own id, or that of a replay which settles a difference in it. */
export type SessionReply =
  | { readonly type: 'connected'; readonly session: SessionId; readonly peer: PeerId }
  | {
      readonly type: 'connect-failed';
      readonly session: SessionId;
      readonly peer: PeerId;
      readonly error: ChorusError;
    }
  | { readonly type: 'verified'; readonly session: SessionId; readonly ticket: number; readonly isGood: boolean }
  | {
      readonly type: 'signed';
      readonly session: SessionId;
      readonly ticket: number;
      readonly signature: Uint8Array<ArrayBuffer>;
    }
  | {
      readonly type: 'record-verified';
      readonly session: SessionId;
      readonly peer: PeerId;
      readonly isGood: boolean;
    };

/** The server's answer to `request-replay`. */
export type ReplayReply =
  | ({ readonly type: 'replay-routed'; readonly ticket: number } & SignedRoute)
  | { readonly type: 'replay-refused'; readonly ticket: number; readonly error: ChorusError };

export type PeerEvent =
  | { readonly type: 'message'; readonly from: PeerId; readonly message: PeerMessage }
  | { readonly type: 'link-lost'; readonly peer: PeerId };

export type RequesterEvent =
  | { readonly type: 'start'; readonly request: GenerateRequest }
  /** Ends the answer; the session stays. */
  | { readonly type: 'cancel' }
  | { readonly type: 'close' }
  | { readonly type: 'queued'; readonly position: number }
  | ({ readonly type: 'routed' } & SignedRoute)
  | { readonly type: 'refused'; readonly error: ChorusError }
  /** The server forgot what was asked of it. */
  | { readonly type: 'server-back' }
  | SessionReply
  | ReplayReply
  | { readonly type: 'reported'; readonly ticket: number; readonly isAccepted: boolean }
  | PeerEvent
  | { readonly type: 'time' };

/** What a session asks for. */
export type SessionEffect =
  /** To be answered by `connected` or `connect-failed`. */
  | { readonly type: 'connect'; readonly session: SessionId; readonly peer: PeerId; readonly webrtc: boolean }
  | { readonly type: 'send'; readonly to: PeerId; readonly message: PeerMessage }
  /** To be answered by `verified` and `signed`. */
  | {
      readonly type: 'verify';
      readonly session: SessionId;
      readonly ticket: number;
      readonly publicKey: Uint8Array<ArrayBuffer>;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly signature: Uint8Array<ArrayBuffer>;
    }
  | {
      readonly type: 'sign';
      readonly session: SessionId;
      readonly ticket: number;
      readonly bytes: Uint8Array<ArrayBuffer>;
    }
  /** To be answered by `record-verified`. */
  | {
      readonly type: 'verify-record';
      readonly session: SessionId;
      readonly peer: PeerId;
      readonly publicKey: Uint8Array<ArrayBuffer>;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly signature: Uint8Array<ArrayBuffer>;
    }
  /** Asks the server for a third replica of `stage` of `session`. */
  | {
      readonly type: 'request-replay';
      readonly ticket: number;
      readonly session: SessionId;
      readonly stage: number;
      readonly role: 'arbiter' | 'referee';
      readonly exclude: readonly PeerId[];
    }
  | { readonly type: 'rest'; readonly rest: Rest }
  | { readonly type: 'release'; readonly release: Release };

export type RequesterEffect =
  /** Asks the server for a route; takes the place of any request before it. */
  | { readonly type: 'request-route'; readonly capacity: number; readonly exclude: readonly PeerId[] }
  | { readonly type: 'abandon-route' }
  | SessionEffect
  /** Says to the server who is at fault; to be answered by `reported`. */
  | { readonly type: 'report'; readonly ticket: number; readonly proof: Proof }
  /** Every stage is open: the `routed` event, for the driver to add what it knows of the links. */
  | { readonly type: 'announce'; readonly route: Route }
  | { readonly type: 'emit'; readonly event: AnswerEvent }
  | { readonly type: 'fail'; readonly error: ChorusError };

export interface RequesterConfig {
  readonly self: PeerId;
  /** Raw Ed25519 key of `self`. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly model: Digest;
  readonly manifest: Manifest;
  readonly random: RandomBytes;
}
