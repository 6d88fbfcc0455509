import type { Envelope } from '../../crypto/envelope.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { Route } from '../../route/route.ts';
import type { DrawnAt } from '../../rows/sampler.ts';

/** The facts that the check of a session starts from. */
export interface AuditConfig {
  readonly route: Route;
  /** The route as the server signed it, for proofs. */
  readonly envelope: Envelope;
  readonly manifest: Manifest;
  /** The requester's raw Ed25519 key. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  /** 32 random bytes, which the seeds of the spans come from. */
  readonly secret: Uint8Array<ArrayBuffer>;
  readonly drawnAt: DrawnAt;
}
