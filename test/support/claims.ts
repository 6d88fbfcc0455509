import { toBase64, utf8 } from '#shared/bytes.ts';
import type { Claim } from '#shared/credit/claim.ts';
import { encodeClaim } from '#shared/credit/claim-codec.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { SKETCH_SIZE } from '#shared/limits.ts';
import type { Route } from '#shared/route/route.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';

type SentClaim = Extract<PeerControlMessage, { type: 'claims' }>['claims'][number];

/** A digest that stands for whatever `text` says. */
export const digestFor = (text: string): string => digestOf(utf8(text));

/** Sketches of `rows` rows, all values apart from each other, times `factor`. */
export function sketchesOf(rows: number, factor = 1): Uint8Array<ArrayBuffer> {
  const values = Float32Array.from({ length: rows * SKETCH_SIZE }, (_, i) => factor * Math.sin(1 + i));
  return new Uint8Array(values.buffer);
}

/** What an honest replica with this key claims of 40 positions of its stage, as far as a made-up session has anything to claim. */
export function claimOf({ session, model, stages }: Route, stage: number, { id }: Pick<Identity, 'id'>): Claim {
  const { range, primary, shadows } = stages[stage]!;
  const replica = [primary, ...shadows].find((each) => each.id === id)!;
  return {
    ...{ session, stage, range, model, from: 0, positions: 40 },
    role: replica === primary ? 'primary' : 'shadow',
    numericClass: digestOf(utf8(replica.numericClass)),
    ...{ input: digestFor(`input ${stage}`), output: digestFor(`output ${stage}`), runs: digestFor('runs') },
    seed: digestFor('seed'),
    sketch: sketchesOf(32),
  };
}

/** A claim as a requester hands it on, signed with this key. */
export async function signedClaim(claim: Claim, identity: Identity): Promise<SentClaim> {
  const bytes = encodeClaim(claim);
  const signature = new Uint8Array(await identity.sign(bytes));
  return { publicKey: toBase64(identity.publicKey), claim: toBase64(bytes), signature: toBase64(signature) };
}
