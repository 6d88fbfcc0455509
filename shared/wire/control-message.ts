import { z } from 'zod';
import { MAX_CLAIM_BYTES } from '../credit/claim-codec.ts';
import { envelopeSchema } from '../crypto/envelope.ts';
import { signedDrawRequestSchema, signedStateSchema } from '../draw/draw-form.ts';
import { parseErrorCode } from '../errors.ts';
import { digestSchema, peerIdSchema, sessionIdSchema } from '../ids.ts';
import {
  MAX_POSITIONS,
  MAX_REASON_CHARACTERS,
  MAX_REQUESTER_SESSIONS,
  MAX_SHADOWS,
  MAX_STAGES,
  MAX_WORK_TRIES,
  WORK_NONCES,
  WORK_PUZZLES,
} from '../limits.ts';
import { stageRangeSchema } from '../model/stage.ts';
import { proofSchema } from '../proof/proof-schema.ts';
import { peerKindSchema } from './peer-kind.ts';

/**
 * The control socket between a peer (tab, anchor, gateway, command line) and the signal server: JSON text messages
 * as below; binary messages belong to the relay (relay-frame.ts).
 *
 *   server -> peer   challenge                    first message
 *   peer -> server   prove                        signs the server's nonce, sends its own
 *   server -> peer   welcome                      signs the peer's nonce
 *   server -> peer   alive                        again and again
 *   peer -> server   alive                        at once, for each of these
 *   volunteer        offer -> work, of a new key: worked -> admitted
 *                    offer -> assign | idle; ready | failed; (seat; opened; closed)*; standing*; heartbeat; state*; pause; withdraw
 *   requester        look -> checkpoint; route -> queued* -> routed | refused; replay -> routed | refused; report -> reported; claims*; rest*;
 *                    reclaim -> release; resume, when it has connected again
 */

/** As far as dates go. */
const wallMs = z.number().min(0).max(8.64e15);
const base64 = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[A-Za-z0-9+/]*={0,2}$/);
const text = z.string().max(MAX_REASON_CHARACTERS);
const requestId = z.int().min(0);
/** Hours since 1970. */
const epoch = z.int().min(0);
const errorCode = z.string().max(40).transform(parseErrorCode);

export const serverMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('challenge'), protocol: z.int(), nonce: base64(64), serverKey: base64(64) }),
  z.strictObject({
    type: z.literal('welcome'),
    id: peerIdSchema,
    signature: base64(128),
    /** For the PeerJS socket; random, good for this control socket's lifetime. */
    peerToken: z.string().max(64),
    iceServers: z
      .array(
        z.strictObject({
          urls: z.array(z.string().max(300)).max(8),
          username: z.string().max(300).optional(),
          credential: z.string().max(300).optional(),
        }),
      )
      .max(8),
    heartbeatMs: z.int().min(100),
    serverTimeMs: wallMs,
    /** True where pages open no direct connections unless their owners choose to. */
    relayByDefault: z.boolean(),
  }),
  /** Load this stage of this model and say `ready`. Replaces any assignment before it. */
  z.strictObject({
    type: z.literal('assign'),
    assignment: z.int().min(0),
    model: digestSchema,
    range: stageRangeSchema,
    reason: text,
  }),
  /** To be done before it is given any part: of this key and hour alone (crypto/work.ts). */
  z.strictObject({
    type: z.literal('work'),
    epoch,
    seed: base64(44).length(44),
    tries: z.int().min(1).max(MAX_WORK_TRIES),
  }),
  /** The work was right, and counts for the key until some hours later. */
  z.strictObject({ type: z.literal('admitted') }),
  /** Nothing to do now, and why. */
  z.strictObject({ type: z.literal('idle'), reason: text }),
  /** A part in a session that somebody is about to open: a signed seat. */
  z.strictObject({ type: z.literal('seat'), seat: envelopeSchema }),
  /** That part is taken back, where nobody has opened the session. */
  z.strictObject({ type: z.literal('unseat'), session: sessionIdSchema }),
  z.strictObject({ type: z.literal('queued'), request: requestId, position: z.int().min(1) }),
  z.strictObject({ type: z.literal('routed'), request: requestId, route: envelopeSchema }),
  z.strictObject({
    type: z.literal('refused'),
    request: requestId,
    code: errorCode,
    message: text,
    /** The first layers nobody holds, where that is the reason. */
    missing: z.strictObject({ start: z.int().min(0), end: z.int().min(0) }).nullable(),
  }),
  /** The newest checkpoint of the log that a request may name, a signed note; null where there is none with a roster in it. */
  z.strictObject({ type: z.literal('checkpoint'), note: z.string().max(2_000).nullable() }),
  /** Others wait for what this session holds: who asked gives it back, if no answer is being made in it. */
  z.strictObject({ type: z.literal('reclaim'), session: sessionIdSchema }),
  /** How a volunteer stands. What it says of spans is late, and comes after any session. */
  z.strictObject({
    type: z.literal('standing'),
    /** `trial` before its first hidden session, `closed` for a while after one that it failed: then it is given no work. */
    gate: z.enum(['open', 'trial', 'closed']),
    /** Spans of its probation that it has, and that it takes. */
    spans: z.int().min(0),
    neededSpans: z.int().min(1),
    /** Why it is given no work, and what can be done, or why its probation began anew; null where there is nothing to say. */
    reason: text.nullable(),
    /** Until when, in wall-clock milliseconds of the server; null where that is not known. */
    untilMs: z.number().min(0).nullable(),
  }),
  /** The outcome of a report. */
  z.strictObject({ type: z.literal('reported'), request: requestId, accepted: z.boolean(), reason: text }),
  /** Sent every `heartbeatMs`, so that a peer notices a server that is gone without a word, and keeps to its time. */
  z.strictObject({ type: z.literal('alive'), serverTimeMs: wallMs }),
  /** Close of the control socket follows. */
  z.strictObject({ type: z.literal('error'), code: errorCode, message: text }),
]);
export type ServerMessage = z.infer<typeof serverMessageSchema>;

const numericClass = z.string().min(1).max(200);

export const offerSchema = z.strictObject({
  type: z.literal('offer'),
  backend: z.enum(['webgpu', 'wasm']),
  numericClass,
  runtimeVersion: z.string().max(40),
  /** False where its owner chose the graphics device: what processors alone hold exactly is not for it. */
  hasProcessor: z.boolean().optional(),
  /** Memory the person lends, in bytes. */
  pledgeBytes: z.int().min(0),
  /** False if only the relay reaches this peer. */
  webrtc: z.boolean(),
  /** Sessions it will run at once. */
  slots: z.int().min(1).max(64),
  /** Stages whose blobs it already has, best first, so that a reload gets its old work back. */
  held: z.array(z.strictObject({ model: digestSchema, range: stageRangeSchema })).max(8),
  /** Milliseconds one layer took for one token when last measured; null before the first probe. */
  layerMs: z.number().min(0).nullable(),
});

/** How a session went so far, as its requester says. */
const sessionFigures = {
  session: sessionIdSchema,
  tokens: z.int().min(0),
  /** Positions that were sent through it, those of the prompt and those that a cut took back again included. */
  positions: z.int().min(0),
  /** Generation speed as the requester saw it; null for fewer than two tokens. */
  tokensPerSecond: z.number().min(0).nullable(),
  /** Spans by verdict. */
  checks: z.strictObject({
    checked: z.int().min(0),
    settled: z.int().min(0),
    unchecked: z.int().min(0),
    disputed: z.int().min(0),
  }),
  /** Volunteers that failed it: for this requester's next routes. */
  faults: z.array(z.strictObject({ volunteer: peerIdSchema, code: errorCode })).max(64),
  /** Volunteers that it went on without because they were slow or silent. */
  stalled: z.array(peerIdSchema).max(64),
};

export const peerControlMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('prove'),
    protocol: z.int(),
    publicKey: base64(64),
    signature: base64(128),
    nonce: base64(64),
    kind: peerKindSchema,
  }),
  /** Said by the peer's own code for each `alive` of the server: a browser answers pings for a page that it has frozen. */
  z.strictObject({ type: z.literal('alive') }),
  offerSchema,
  /** A nonce for each puzzle of the work that was asked for. */
  z.strictObject({
    type: z.literal('worked'),
    epoch,
    nonces: z
      .array(
        z
          .int()
          .min(0)
          .max(WORK_NONCES - 1),
      )
      .length(WORK_PUZZLES),
  }),
  z.strictObject({
    type: z.literal('ready'),
    assignment: z.int().min(0),
    layerMs: z.number().min(0),
    /** Largest relative difference the probe saw. */
    probeError: z.number().min(0),
    /** Class that the stage computes in, where it is another than the offer's. */
    numericClass: numericClass.optional(),
  }),
  z.strictObject({ type: z.literal('failed'), assignment: z.int().min(0), code: errorCode, message: text }),
  z.strictObject({
    type: z.literal('heartbeat'),
    sessions: z.int().min(0),
    /** Tokens served so far in this sitting. */
    tokens: z.int().min(0),
    layerMs: z.number().min(0).nullable(),
    hidden: z.boolean(),
    /** While it loads a stage: how many steps of that are done, such as pieces fetched and weights read. */
    loadSteps: z.int().min(0).optional(),
  }),
  /** A session with a part for this volunteer has been opened here, and is over here. */
  z.strictObject({ type: z.literal('opened'), session: sessionIdSchema }),
  z.strictObject({ type: z.literal('closed'), session: sessionIdSchema }),
  /** What a volunteer that has sessions signs of itself, so that its being busy is its own word (draw/volunteer-state.ts). */
  signedStateSchema.extend({ type: z.literal('state') }),
  /** Takes no new sessions until the next `offer`; running ones go on. */
  z.strictObject({ type: z.literal('pause') }),
  /** No longer a volunteer. */
  z.strictObject({ type: z.literal('withdraw') }),
  z.strictObject({
    type: z.literal('route'),
    request: requestId,
    model: digestSchema,
    capacity: z.int().min(1).max(MAX_POSITIONS),
    webrtc: z.boolean(),
    policy: z.strictObject({
      shadows: z.int().min(0).max(MAX_SHADOWS),
      /** At least this many stages; the model's own minimum holds too. */
      minStages: z.int().min(1).max(MAX_STAGES),
    }),
    /** Volunteers that failed this requester a moment ago. */
    exclude: z.array(peerIdSchema).max(64),
    /** A session of this requester that the new one takes the place of: its volunteers, but for those, should stay. */
    after: sessionIdSchema.optional(),
    /** By which the replicas are drawn, with the key that signed it; without it the server chooses them. */
    draw: signedDrawRequestSchema.extend({ publicKey: base64(44) }).optional(),
  }),
  /** Asks for the newest `checkpoint`. */
  z.strictObject({ type: z.literal('look') }),
  z.strictObject({ type: z.literal('abandon'), request: requestId }),
  /**
   * Asks for a third replica of a stage of a running session of this requester: an `arbiter` of the primary's numeric
   * class, or a `referee`, an anchor that computes with WASM. Answered with a route whose purpose is `replay`.
   */
  z.strictObject({
    type: z.literal('replay'),
    request: requestId,
    session: sessionIdSchema,
    stage: z
      .int()
      .min(0)
      .max(MAX_STAGES - 1),
    role: z.enum(['arbiter', 'referee']),
    exclude: z.array(peerIdSchema).max(64),
  }),
  /** A fault of computation, with its proof. */
  z.strictObject({ type: z.literal('report'), request: requestId, proof: proofSchema }),
  /**
   * What the replicas of one stage claim credit for, as each of them signed it (credit/claim-codec.ts); before the `rest` or
   * `release` of the session, and at most once for each replica and end of an answer.
   */
  z.strictObject({
    type: z.literal('claims'),
    session: sessionIdSchema,
    stage: z
      .int()
      .min(0)
      .max(MAX_STAGES - 1),
    claims: z
      .array(
        z.strictObject({
          publicKey: base64(44),
          claim: base64(4 * Math.ceil(MAX_CLAIM_BYTES / 3)),
          signature: base64(88),
        }),
      )
      .min(2)
      .max(1 + MAX_SHADOWS),
  }),
  /** After connecting again: the sessions that still run. All others of this requester are over. */
  z.strictObject({ type: z.literal('resume'), sessions: z.array(sessionIdSchema).max(MAX_REQUESTER_SESSIONS) }),
  z.strictObject({
    type: z.literal('release'),
    ...sessionFigures,
    outcome: z.enum(['done', 'cancelled', 'failed']),
  }),
  /** An answer has ended and the session waits for the next, which may never come. */
  z.strictObject({ type: z.literal('rest'), ...sessionFigures }),
]);
export type PeerControlMessage = z.infer<typeof peerControlMessageSchema>;
export type Offer = z.infer<typeof offerSchema>;
