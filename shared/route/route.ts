import { z } from 'zod';
import { drawRecordSchema } from '../draw/draw-form.ts';
import { ChorusError } from '../errors.ts';
import { digestSchema, peerIdSchema, sessionIdSchema, type Digest, type PeerId } from '../ids.ts';
import { CLOCK_SKEW_MS, MAX_POSITIONS, MAX_SHADOWS, MAX_STAGES, SESSION_LEASE_MS } from '../limits.ts';
import { coversModel, stageRangeSchema } from '../model/stage.ts';

const replicaSchema = z.strictObject({
  id: peerIdSchema,
  /** False for peers that only the relay reaches (Node). */
  webrtc: z.boolean(),
  /** Numeric class, such as `wasm` or `webgpu/google/swiftshader`. */
  numericClass: z.string().max(200),
  /** Of a replay: its key has not earned trust yet, or nobody has measured its class, so that its word alone decides nothing. */
  isUnproven: z.literal(true).optional(),
});
export type Replica = z.infer<typeof replicaSchema>;

/** The replicas of each stage of a session. The server signs it for the requester and whoever verifies; replicas work by their seats in it. */
export const routeSchema = z.strictObject({
  session: sessionIdSchema,
  /**
   * `answer`: stages are a whole model. `replay`: one stage, of whatever range, fed by the requester with the inputs that
   * another session's replicas committed to, and answering to the requester; it settles a difference between these.
   */
  purpose: z.enum(['answer', 'replay']),
  /** Digest of the manifest's bytes. */
  model: digestSchema,
  requester: replicaSchema.omit({ numericClass: true, isUnproven: true }),
  /** Positions the session may use. */
  capacity: z.int().min(1).max(MAX_POSITIONS),
  /** Wall-clock milliseconds. */
  issuedAtMs: z.int(),
  expiresAtMs: z.int(),
  stages: z
    .array(
      z.strictObject({
        range: stageRangeSchema,
        primary: replicaSchema,
        shadows: z.array(replicaSchema).max(MAX_SHADOWS),
        /** The scheduler's estimate for one token, in milliseconds. */
        predictedMs: z.number().min(0),
      }),
    )
    .min(1)
    .max(MAX_STAGES),
  /** Wishes that the scheduler could not grant, in words for people (such as: no shadow is free). */
  notes: z.array(z.string().max(300)).max(16),
  /** How the replicas were drawn (draw/); absent where the server has no log to commit itself in. */
  draw: drawRecordSchema.optional(),
});
export type Route = z.infer<typeof routeSchema>;

/** How long the route may be used from when it is given, by whatever clock. */
export function leaseMs(route: Pick<Route, 'issuedAtMs' | 'expiresAtMs'>): number {
  return Math.max(0, Math.min(route.expiresAtMs - route.issuedAtMs, SESSION_LEASE_MS));
}

/** True while a route is good, by a clock that may be a little off. */
export function isWithinRoute({ issuedAtMs, expiresAtMs }: Route, wallMs: number): boolean {
  return wallMs >= issuedAtMs - CLOCK_SKEW_MS && wallMs <= expiresAtMs + CLOCK_SKEW_MS;
}

/** Throws `bad-message` if a route, though signed, is not one that `self` can use for this model. */
export function checkRoute(route: Route, self: PeerId, model: Digest, layers: number): void {
  const refuse = (reason: string) => new ChorusError('bad-message', `the server gave a wrong route: ${reason}`);
  if (route.requester.id !== self) throw refuse('it is for another requester');
  if (route.model !== model) throw refuse('it is for another model');
  if (route.purpose !== 'answer') throw refuse('it is not for an answer');
  if (route.stages.some((stage) => stage.primary.id === self)) throw refuse('it leads through the requester');
  const ranges = route.stages.map((stage) => stage.range);
  if (!coversModel(ranges, layers)) throw refuse('its stages are not a whole model');
}

export const ROUTE_PAYLOAD_TYPE = 'application/vnd.chorus.route+json';
