import type { SignedBytes } from '../../ask.ts';
import type { RequesterConfig, SessionEffect } from '../requester-event.ts';
import type { RecordSalt } from './record-salt.ts';
import type { RequesterSession } from './requester-session.ts';

/** The common ground of all that checks one session: the session's feed, the time, and a way to have things done. */
export interface SessionPort {
  readonly config: RequesterConfig;
  readonly session: RequesterSession;
  readonly nowMs: number;
  readonly recordSalt: RecordSalt;
  perform(effect: SessionEffect): void;
  /** `then` hears nothing where the key does no work, or once the session is gone. */
  sign(bytes: Uint8Array<ArrayBuffer>, then: (signature: Uint8Array<ArrayBuffer>) => void): void;
  /** A signature that cannot be verified is not good. `then` hears nothing once the session is gone. */
  verify(signed: SignedBytes, then: (isGood: boolean) => void): void;
  /** Numbers requests to the server. */
  nextTicket(): number;
}
