import { z } from 'zod';
import { peerIdSchema } from '../ids.ts';
import { MAX_PROOF_HASHES } from '../log/merkle.ts';
import { MAX_SHADOWS, MAX_STAGES } from '../limits.ts';
import { MAX_SPEED_CLASS } from './speed-class.ts';
import { MAX_LOOKS } from './stage-draw.ts';

/** Standard base64 of so many bytes. */
const base64Of = (bytes: number) =>
  z.string().regex(new RegExp(`^[A-Za-z0-9+/]{${Math.ceil((4 * bytes) / 3)}}={0,2}$`));
const hash = base64Of(32);
/** Hashes one after the other, from the leaf's sibling up, in base64. */
const path = z
  .string()
  .max(4 * Math.ceil((32 * MAX_PROOF_HASHES) / 3))
  .regex(/^[A-Za-z0-9+/]*={0,2}$/);
const count = z.int().min(0).max(1_000_000);
const wallMs = z.number().min(0).max(8.64e15);

export const drawRequestSchema = z.strictObject({
  checkpoint: z.strictObject({ size: z.int().min(0), root: hash }),
  nonce: z.string().regex(/^[0-9a-f]{32}$/),
  series: z.string().regex(/^[0-9a-f]{16}$/),
  number: z.int().min(1),
  shadows: z.int().min(0).max(MAX_SHADOWS),
});

/** A request as the requester signed it. */
export const signedDrawRequestSchema = drawRequestSchema.extend({ signature: base64Of(64) });
export type SignedDrawRequest = z.infer<typeof signedDrawRequestSchema>;

export const volunteerStateSchema = z.strictObject({
  sessions: z.int().min(0).max(1_000),
  slots: z.int().min(0).max(1_000),
  atMs: wallMs,
});

export const signedStateSchema = volunteerStateSchema.extend({ publicKey: hash, signature: base64Of(64) });
export type SignedState = z.infer<typeof signedStateSchema>;

/**
 * Why somebody whose turn it was is not in the route. `busy`: by a state that it signed. Of the others nothing shows more than somebody's
 * word. `left-out`: it worked for this requester before, and the requester keeps away from it. `failed`: the requester said a moment ago
 * that it failed or stalled. `gone`: the server says that it was not there any more, or had no room.
 */
export const skipSchema = z.discriminatedUnion('reason', [
  z.strictObject({ reason: z.literal('busy'), state: signedStateSchema }),
  z.strictObject({ reason: z.literal('left-out') }),
  z.strictObject({ reason: z.literal('failed') }),
  z.strictObject({ reason: z.literal('gone') }),
]);
export type Skip = z.infer<typeof skipSchema>;

/** Somebody whom the draw came upon, with what leads to the roster's root. */
export const lookSchema = z.strictObject({
  network: base64Of(16),
  /** Of its network in this pool. */
  members: count,
  path,
  id: peerIdSchema,
  numericClass: z.string().max(200),
  speed: z.int().min(0).max(MAX_SPEED_CLASS),
  isProven: z.boolean(),
  isSteady: z.boolean(),
  isMeasured: z.boolean(),
  /** Within its network. */
  memberPath: path,
  skip: skipSchema.nullable(),
});
export type Look = z.infer<typeof lookSchema>;

const poolSchema = z.strictObject({ networks: count, root: hash });

export const stageDrawSchema = z.strictObject({
  members: count,
  fastest: z.int().min(0).max(MAX_SPEED_CLASS),
  hasExact: z.boolean(),
  pools: z.strictObject({
    lead: poolSchema,
    shadow: poolSchema,
    proven: poolSchema,
    steady: poolSchema,
    slow: poolSchema,
  }),
  /** Which of the roster's sections this is, and what leads from it to the roster's root. */
  index: count,
  path,
  /** In the order of the draw. */
  looks: z.array(lookSchema).min(1).max(MAX_LOOKS),
});
export type StageDrawRecord = z.infer<typeof stageDrawSchema>;

/** The log's entry that commits to a roster, and where it is. */
export const rosterCommitmentSchema = z.strictObject({
  sections: count,
  root: hash,
  /** Key of the VRF. */
  publicKey: hash,
  atMs: wallMs,
  /** In the log. */
  index: z.int().min(0),
  path,
});
export type RosterCommitment = z.infer<typeof rosterCommitmentSchema>;

/** How the server numbers the requests of one network. */
export const drawCountSchema = z.strictObject({
  /** Names the sequence: one for each day and start of the server. */
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  network: base64Of(16),
  /** From 1; all requests before it in this sequence were of requesters of the same network. */
  number: z.int().min(1),
});
export type DrawCount = z.infer<typeof drawCountSchema>;

/** The record of a draw, in the route that it made. */
export const drawRecordSchema = z.discriminatedUnion('by', [
  z.strictObject({
    by: z.literal('roster'),
    request: signedDrawRequestSchema,
    /** The signed note of the checkpoint that the request names. */
    checkpoint: z.string().max(2_000),
    roster: rosterCommitmentSchema,
    /** Of the VRF. */
    proof: base64Of(80),
    count: drawCountSchema,
    stages: z.array(stageDrawSchema).min(1).max(MAX_STAGES),
  }),
  /** The server chose, and says why. */
  z.strictObject({ by: z.literal('server'), reason: z.string().max(300) }),
]);
export type DrawRecord = z.infer<typeof drawRecordSchema>;
export type RosterDraw = Extract<DrawRecord, { by: 'roster' }>;
