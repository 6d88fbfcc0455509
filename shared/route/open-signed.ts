import type { z } from 'zod';
import { openEnvelope } from '../crypto/dsse.ts';
import { envelopeSchema, type Envelope } from '../crypto/envelope.ts';
import { digestOf, type VerifySignature } from '../crypto/identity.ts';
import { parseStrictJson } from '../crypto/strict-json.ts';
import { ChorusError, toChorusError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import { MAX_MANIFEST_BYTES } from '../limits.ts';
import { manifestSchema, type Manifest, MANIFEST_PAYLOAD_TYPE } from '../model/manifest.ts';
import { ROUTE_PAYLOAD_TYPE, routeSchema, type Route } from './route.ts';
import { SEAT_PAYLOAD_TYPE, signedSeatSchema, type SignedSeat } from './seat.ts';

/** The key whose signature counts, and how signatures are checked. */
export interface Authority {
  /** The server's raw Ed25519 public key. */
  readonly serverKey: Uint8Array<ArrayBuffer>;
  readonly verify: VerifySignature;
}

/** The route in an envelope. Throws `bad-signature` if the server did not sign it, `bad-message` if it is malformed. */
export async function openRoute(envelope: Envelope, { serverKey, verify }: Authority): Promise<Route> {
  const payload = await openEnvelope(envelope, ROUTE_PAYLOAD_TYPE, serverKey, verify);
  return parseJson(payload, routeSchema, 'bad-message', 'route');
}

/** The seat in an envelope. Throws `bad-signature` if the server did not sign it, `bad-message` if it is malformed. */
export async function openSeat(envelope: Envelope, { serverKey, verify }: Authority): Promise<SignedSeat> {
  const payload = await openEnvelope(envelope, SEAT_PAYLOAD_TYPE, serverKey, verify);
  return parseJson(payload, signedSeatSchema, 'bad-message', 'seat');
}

/**
 * The manifest named `digest`, from what `/api/models/DIGEST` answers (parsed JSON, as it came). Throws `bad-message` or
 * `bad-signature` for the envelope, `digest-mismatch` if it holds another manifest, `bad-manifest` if that is malformed.
 */
export async function openManifest(
  answer: unknown,
  digest: Digest,
  { serverKey, verify }: Authority,
): Promise<Manifest> {
  const envelope = envelopeSchema.safeParse(answer);
  if (!envelope.success) throw new ChorusError('bad-message', 'the answer for a manifest is no signed envelope');
  const payload = await openEnvelope(envelope.data, MANIFEST_PAYLOAD_TYPE, serverKey, verify);
  if (payload.length > MAX_MANIFEST_BYTES) throw new ChorusError('too-large', 'the manifest is too large');
  if (digestOf(payload) !== digest) throw new ChorusError('digest-mismatch', 'the server sent another manifest');
  return parseJson(payload, manifestSchema, 'bad-manifest', 'manifest');
}

function parseJson<Schema extends z.ZodType>(
  bytes: Uint8Array<ArrayBuffer>,
  schema: Schema,
  code: 'bad-message' | 'bad-manifest',
  what: string,
): z.output<Schema> {
  let value: unknown;
  try {
    value = parseStrictJson(bytes);
  } catch (thrown) {
    throw new ChorusError(code, `the ${what} cannot be read: ${toChorusError(thrown).message}`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.')).slice(0, 5);
  throw new ChorusError(code, `the ${what} is malformed at ${fields.join(', ')}`);
}
