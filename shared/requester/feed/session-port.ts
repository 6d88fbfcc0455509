import type { SignedBytes } from '../../ask.ts';
import type { RequesterConfig, SessionEffect } from '../requester-event.ts';
import type { RequesterSession } from './requester-session.ts';

/** What all that checks one session has in common: what the session holds, the time, and a way to have things done. */
export interface SessionPort {
  readonly config: RequesterConfig;
  readonly session: RequesterSession;
  readonly nowMs: number;
  perform(effect: SessionEffect): void;
  /** `then` hears nothing where the key does no work, or once the session is gone. */
  sign(bytes: Uint8Array<ArrayBuffer>, then: (signature: Uint8Array<ArrayBuffer>) => void): void;
  /** What cannot be verified is not good. `then` hears nothing once the session is gone. */
  verify(signed: SignedBytes, then: (isGood: boolean) => void): void;
  /** Numbers what is asked of the server. */
  nextTicket(): number;
}
