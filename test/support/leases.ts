import { toHex } from '#shared/bytes.ts';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { Replica, Route } from '#shared/route/route.ts';
import type { Lease } from '../../signal-server/placement/leases.ts';

/** A made-up id: one hexadecimal digit, repeated. */
export function idOf(digit: string): PeerId {
  return digit.repeat(64) as PeerId;
}

interface LeaseParts {
  readonly requester: PeerId;
  /** The replicas of each stage, its primary first. */
  readonly stages: readonly (readonly PeerId[])[];
  readonly model?: Digest;
  readonly ranges?: readonly Route['stages'][number]['range'][];
  readonly role?: Lease['role'];
}

/** A lease of a session that nobody runs. */
export function leaseOf({ requester, stages, model, ranges, role = 'answer' }: LeaseParts): Lease {
  const replica = (id: PeerId): Replica => ({ id, webrtc: false, numericClass: 'wasm' });
  const route: Route = {
    session: toHex(randomBytes(16)) as SessionId,
    purpose: role === 'answer' ? 'answer' : 'replay',
    model: model ?? ('e'.repeat(64) as Digest),
    requester: { id: requester, webrtc: false },
    capacity: 128,
    issuedAtMs: 0,
    expiresAtMs: 900_000,
    stages: stages.map(([primary, ...shadows], i) => ({
      range: ranges?.[i] ?? { start: 0, end: 8, embedding: true, head: true },
      primary: replica(primary!),
      shadows: shadows.map(replica),
      predictedMs: 1,
    })),
    notes: [],
  };
  const kept = { prefixes: new Map(), thirds: new Set<PeerId>(), waitedMs: 0, endsAtMs: 900_000 };
  return { route, role, requester, volunteers: stages.flat(), ...kept };
}
