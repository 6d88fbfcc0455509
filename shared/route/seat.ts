import { z } from 'zod';
import { digestSchema, peerIdSchema, sessionIdSchema, type PeerId } from '../ids.ts';
import { MAX_POSITIONS, MAX_SHADOWS, MAX_STAGES } from '../limits.ts';
import { stageRangeSchema } from '../model/stage.ts';
import type { Route } from './route.ts';

/** A peer that a volunteer sends to, and how it is reached. */
const neighbourSchema = z.strictObject({ peer: peerIdSchema, webrtc: z.boolean() });

/**
 * The part that one volunteer has in a route, with those whom it must talk to and nobody else: a primary learns nothing of its own
 * shadows. The server signs it and tells it to that volunteer alone; volunteers take no work without one.
 */
export const signedSeatSchema = z.strictObject({
  version: z.literal(1),
  session: sessionIdSchema,
  /** Digest of the manifest's bytes. */
  model: digestSchema,
  /** Positions the session may use. */
  capacity: z.int().min(1).max(MAX_POSITIONS),
  /** Wall-clock milliseconds. */
  issuedAtMs: z.int(),
  expiresAtMs: z.int(),
  /** Whose seat it is. */
  volunteer: peerIdSchema,
  stage: z
    .int()
    .min(0)
    .max(MAX_STAGES - 1),
  /** How many stages the route has. */
  stages: z.int().min(1).max(MAX_STAGES),
  range: stageRangeSchema,
  /**
   * `primary`: its output goes on. `shadow`: runs the same rows again, a span at a time, and its output goes nowhere.
   * `replay`: runs what the requester gives it and answers to the requester.
   */
  role: z.enum(['primary', 'shadow', 'replay']),
  /** The peer that may check it. */
  requester: peerIdSchema,
  /** The peer that opens the session here and sends rows. */
  upstream: peerIdSchema,
  /** Where its output goes; null for a shadow. */
  forward: neighbourSchema.nullable(),
  /** The shadows of the next stage, which are sent all that its primary is. */
  shadows: z.array(neighbourSchema).max(MAX_SHADOWS),
});
export type SignedSeat = z.infer<typeof signedSeatSchema>;

/** The seats of all replicas of a route. */
export function seatsOf(route: Route): SignedSeat[] {
  const { session, purpose, model, capacity, issuedAtMs, expiresAtMs, requester, stages } = route;
  return stages.flatMap(({ range, primary, shadows }, stage) => {
    const next = stages[stage + 1];
    const upstream: PeerId = stage === 0 ? requester.id : stages[stage - 1]!.primary.id;
    const seat = (volunteer: PeerId): Omit<SignedSeat, 'role' | 'forward' | 'shadows'> => ({
      ...{ version: 1, session, model, capacity, issuedAtMs, expiresAtMs, volunteer },
      ...{ stage, stages: stages.length, range, requester: requester.id, upstream },
    });
    const role = purpose === 'replay' ? 'replay' : 'primary';
    const forward = neighbourOf(next?.primary ?? requester);
    return [
      { ...seat(primary.id), role, forward, shadows: (next?.shadows ?? []).map(neighbourOf) },
      ...shadows.map((shadow) => ({ ...seat(shadow.id), role: 'shadow' as const, forward: null, shadows: [] })),
    ];
  });
}

function neighbourOf({ id, webrtc }: Route['requester']): SignedSeat['shadows'][number] {
  return { peer: id, webrtc };
}

export const SEAT_PAYLOAD_TYPE = 'application/vnd.chorus.seat+json';
