import type { Ask } from '../ask.ts';
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
/** Volunteers of a session, as the server is told of them at its end. */
export type Told = Pick<Release, 'faults' | 'stalled'>;
export type Rest = Extract<PeerControlMessage, { type: 'rest' }>;
export type Claims = Extract<PeerControlMessage, { type: 'claims' }>;

/** A route in the server's envelope: the signature is good and it holds this. */
export interface SignedRoute {
  readonly route: Route;
  readonly envelope: Envelope;
}

export type RequesterEvent =
  | { readonly type: 'start'; readonly request: GenerateRequest }
  /** Ends the answer; the session stays. */
  | { readonly type: 'cancel' }
  /** With `isAbandoned`, the last answer was not wanted to its end. */
  | { readonly type: 'close'; readonly isAbandoned?: boolean }
  | { readonly type: 'queued'; readonly position: number }
  | ({ readonly type: 'routed' } & SignedRoute)
  | { readonly type: 'refused'; readonly error: ChorusError }
  /** The server forgot what was asked of it. */
  | { readonly type: 'server-back' }
  /** A link that was asked for in the name of `session`: its own, or that of a replay which settles a difference in it. */
  | { readonly type: 'connected'; readonly session: SessionId; readonly peer: PeerId }
  | {
      readonly type: 'connect-failed';
      readonly session: SessionId;
      readonly peer: PeerId;
      readonly error: ChorusError;
    }
  /** The server's answer to `request-replay`. */
  | ({ readonly type: 'replay-routed'; readonly ticket: number } & SignedRoute)
  | { readonly type: 'replay-refused'; readonly ticket: number; readonly error: ChorusError }
  | { readonly type: 'reported'; readonly ticket: number; readonly isAccepted: boolean }
  | { readonly type: 'message'; readonly from: PeerId; readonly message: PeerMessage }
  | { readonly type: 'link-lost'; readonly peer: PeerId }
  | { readonly type: 'time' };

export type RequesterEventOf<Type extends RequesterEvent['type']> = Extract<RequesterEvent, { type: Type }>;

/** An effect that a session asks for. */
export type SessionEffect =
  /** To be answered by `connected` or `connect-failed`. */
  | { readonly type: 'connect'; readonly session: SessionId; readonly peer: PeerId; readonly webrtc: boolean }
  | { readonly type: 'send'; readonly to: PeerId; readonly message: PeerMessage }
  /** Asks the server for a third replica of `stage` of `session`. */
  | {
      readonly type: 'request-replay';
      readonly ticket: number;
      readonly session: SessionId;
      readonly stage: number;
      readonly role: 'arbiter' | 'referee';
      readonly exclude: readonly PeerId[];
    }
  /** Signed claims for credit, for the server to judge; no later than the `rest` or `release` of their session. */
  | { readonly type: 'claims'; readonly claims: Claims }
  | { readonly type: 'rest'; readonly rest: Rest }
  | { readonly type: 'release'; readonly release: Release };

export type RequesterEffect =
  /** Asks the server for a route; takes the place of any request before it. */
  | {
      readonly type: 'request-route';
      readonly capacity: number;
      readonly exclude: readonly PeerId[];
      /** The session whose place the route takes, and whose other volunteers it should keep; null for none. */
      readonly after: SessionId | null;
    }
  | { readonly type: 'abandon-route' }
  | SessionEffect
  /** Says to the server who is at fault; to be answered by `reported`. */
  | { readonly type: 'report'; readonly ticket: number; readonly proof: Proof }
  /** Every stage is open: the `routed` event, for the driver to add what it knows of the links. */
  | { readonly type: 'announce'; readonly route: Route }
  | { readonly type: 'emit'; readonly event: AnswerEvent }
  | { readonly type: 'fail'; readonly error: ChorusError };

/** The effects of one event, with the questions to the loop. */
export type RequesterEffects = (RequesterEffect | Ask<RequesterEffect>)[];

export interface RequesterConfig {
  readonly self: PeerId;
  /** Raw Ed25519 key of `self`. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly model: Digest;
  readonly manifest: Manifest;
  /** Shadows that are asked for of each stage. */
  readonly shadows: number;
  readonly random: RandomBytes;
}
