import type { Now } from './clock.ts';
import type { ChorusError } from './errors.ts';

/** A signature to be made or verified: that takes a key and time, and so is not done by an engine itself. */
export type Question =
  | { readonly type: 'sign'; readonly bytes: Uint8Array<ArrayBuffer> }
  | ({ readonly type: 'verify' } & SignedBytes);

/** Bytes with the Ed25519 signature that is said to be on them. */
export interface SignedBytes {
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** The signature, or whether it is good; an error where neither could be had. */
export type Reply = Uint8Array<ArrayBuffer> | boolean | ChorusError;

/**
 * A question of an engine to its loop. The reply comes to `then` as an event comes to `handle`: at a later time, and the
 * effects that `then` returns are performed. The `then` of a machine that is gone by that time does nothing.
 */
export interface Ask<Effect> {
  readonly type: 'ask';
  readonly what: Question;
  readonly then: (reply: Reply, now: Now) => (Effect | Ask<Effect>)[];
}
