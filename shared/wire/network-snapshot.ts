import { z } from 'zod';
import { digestSchema, peerIdSchema } from '../ids.ts';
import { stageRangeSchema } from '../model/stage.ts';
import { peerKindSchema } from './peer-kind.ts';

const hiddenOutcomesSchema = z.object({ passed: z.number(), failed: z.number(), unclear: z.number() });

/** The answer of `GET /api/network`: the state of the network as the server sees it, for the page. */
export const networkSnapshotSchema = z.object({
  serverTimeMs: z.number(),
  startedAtMs: z.number(),
  version: z.string(),
  /** The server's address for everybody, where its operator has named one. */
  publicUrl: z.string().nullish(),
  models: z.array(
    z.object({
      digest: digestSchema,
      name: z.string(),
      description: z.string(),
      parameters: z.number(),
      layers: z.number(),
      minStages: z.number(),
      quantization: z.string(),
      /** Ready volunteers for the embedding, each layer and the head. */
      coverage: z.object({ embedding: z.number(), layers: z.array(z.number()), head: z.number() }),
      /** True if a route could be given now. */
      servable: z.boolean(),
      /** Why not, in words for people; null if servable. */
      reason: z.string().nullable(),
      /** `asleep` where volunteers that work for other models could hold it; `lacking` where nobody could. */
      activity: z.enum(['loaded', 'loading', 'asleep', 'lacking']).optional(),
      /** Volunteers and memory that it lacks for answers, and for checked ones, in words for people; null where it lacks nobody. */
      lacks: z.string().nullish(),
    }),
  ),
  volunteers: z.array(
    z.object({
      id: peerIdSchema,
      kind: peerKindSchema,
      state: z.enum(['idle', 'loading', 'ready', 'paused']),
      backend: z.enum(['webgpu', 'wasm']),
      numericClass: z.string(),
      webrtc: z.boolean(),
      pledgeBytes: z.number(),
      model: digestSchema.nullable(),
      range: stageRangeSchema.nullable(),
      layerMs: z.number().nullable(),
      sessions: z.number(),
      slots: z.number(),
      /** Tokens that passed its stage, of questions and answers, run or run again, as requesters reported them. */
      tokens: z.number(),
      joinedAtMs: z.number(),
      hidden: z.boolean(),
      /** Whether it is given work: `trial` before its first hidden session, `closed` for a while after one that it failed. */
      gate: z.enum(['open', 'trial', 'closed']),
      /** True once its rows were held to equal bits, or to limits that were measured for its numeric class. */
      measuredClass: z.boolean(),
      trust: z.object({
        /** Spans in which an anchor, or the server itself, found it to compute what is right, as far as they count. */
        witnessedSpans: z.number(),
        /** Spans in which it agreed with others, which decide nothing. */
        agreedSpans: z.number(),
        /** True for keys with too few witnessed spans, which are watched by two shadows. */
        isNew: z.boolean(),
        /** True for keys with many, the first of them more than a day ago. */
        isLongTrusted: z.boolean(),
        /** Until when it is given no work after a proven fault; wall-clock time of the server. */
        suspendedUntilMs: z.number().nullable(),
      }),
    }),
  ),
  /** Spans of all answers by verdict, as requesters reported them. */
  checks: z.object({ checked: z.number(), settled: z.number(), unchecked: z.number(), disputed: z.number() }),
  /** Faults that the server found proven, newest first, the last few. */
  faults: z.array(z.object({ volunteer: peerIdSchema, range: stageRangeSchema, reason: z.string(), atMs: z.number() })),
  sessions: z.object({ running: z.number(), queued: z.number(), finished: z.number(), failed: z.number() }),
  /** Answers that the server asked for itself, by kind and outcome, as they stood an hour ago at most. */
  hiddenSessions: z.object({
    sessions: z.object({ trial: hiddenOutcomesSchema, later: hiddenOutcomesSchema }),
    tokens: z.number(),
    anchorMs: z.number(),
    steerers: z.number(),
  }),
  /** One point every 10 s, oldest first, at most the last hour. */
  history: z.array(
    z.object({ atMs: z.number(), volunteers: z.number(), sessions: z.number(), tokensPerSecond: z.number() }),
  ),
  /** True if all volunteers share one address prefix, so that routes cannot spread over networks. */
  sharedPrefix: z.boolean(),
  /** True where pages open no direct connections unless their owners choose to. */
  relayByDefault: z.boolean(),
  /** Why answers get no receipts now, in words for people; null while they do. */
  noReceipts: z.string().max(1000).nullable().default(null),
});
export type NetworkSnapshot = z.infer<typeof networkSnapshotSchema>;
