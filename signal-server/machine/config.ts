import { z } from 'zod';
import { equalBytes } from '#shared/bytes.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { describeFault, formWords } from '#shared/form-words.ts';
import {
  CONNECT_TIMEOUT_MS,
  HEARTBEAT_MS,
  HEARTBEAT_TIMEOUT_MS,
  HANDSHAKE_TIMEOUT_MS,
  MAX_RECORDS,
  MAX_REQUESTER_SESSIONS,
  MAX_STAGES,
  MAX_WORK_TRIES,
  RESUME_MS,
  ROUTE_TIMEOUT_MS,
  SESSION_LEASE_MS,
} from '#shared/limits.ts';
import { parseWitnessAddress, type WitnessAddress } from './witness-address.ts';

const MIB = 1024 * 1024;
const rate = (perSecond: number, burst: number) =>
  z.strictObject({ perSecond: z.number().positive(), burst: z.number().positive() }).default({ perSecond, burst });

function witnessAddress(text: string, context: z.RefinementCtx): WitnessAddress {
  try {
    return parseWitnessAddress(text);
  } catch (thrown) {
    context.addIssue({ code: 'custom', message: toChorusError(thrown).message });
    return z.NEVER;
  }
}

/** Each is one vote, and known by its name. */
function demandDistinct(witnesses: readonly WitnessAddress[], context: z.RefinementCtx): void {
  witnesses.forEach(({ key }, i) => {
    const same = witnesses
      .slice(0, i)
      .find((other) => other.key.name === key.name || equalBytes(other.key.publicKey, key.publicKey));
    if (same === undefined) return;
    const message =
      same.key.name === key.name
        ? `two witnesses are called ${key.name}`
        : `${same.key.name} and ${key.name} have the same key: they are one witness`;
    context.addIssue({ code: 'custom', message });
  });
}

/** Pages, sockets and the API have fixed places below the root of a host. */
function demandRoot(text: string, context: z.RefinementCtx): void {
  if (!URL.canParse(text)) return;
  const { origin, href } = new URL(text);
  if (href === `${origin}/`) return;
  const message = `more than a scheme and a host; Chorus is served at the root of a host, so it needs a host name of its own, such as ${origin}`;
  context.addIssue({ code: 'custom', message });
}

/** Browsers name the origin of a page exactly like this. */
function demandOrigin(text: string, context: z.RefinementCtx): void {
  const origin = URL.canParse(text) ? new URL(text).origin : 'https://example.org';
  if (text === origin) return;
  const message = `no origin; it must be a scheme and a host without a slash after it, such as ${origin === 'null' ? 'https://example.org' : origin}`;
  context.addIssue({ code: 'custom', message });
}

const iceServerSchema = z.strictObject({
  urls: z.preprocess(
    (urls) => (typeof urls === 'string' ? [urls] : urls),
    z
      .array(
        z
          .string()
          .regex(/^(stun|stuns|turn|turns):/)
          .max(300),
      )
      .min(1)
      .max(8),
  ),
  username: z.string().max(300).optional(),
  credential: z.string().max(300).optional(),
});
export type IceServer = z.infer<typeof iceServerSchema>;

/** Everything that can be set, and the only place where the server's defaults are stated. */
export const configSchema = z.strictObject({
  port: z.coerce.number().int().min(0).max(65_535).default(8787),
  host: z.string().min(1).default('0.0.0.0'),
  /** Address under which others reach this server, where a proxy stands before it. */
  publicUrl: z
    .url({ protocol: /^https?$/ })
    .superRefine(demandRoot)
    .nullable()
    .default(null),
  /** Origins, besides the server's own, whose pages may open sockets here. */
  allowedOrigins: z.array(z.string().superRefine(demandOrigin)).default([]),
  /** True if a proxy of ours writes X-Forwarded-For. */
  trustProxy: z.boolean().default(false),
  dataFolder: z.string().min(1).default('data'),
  /** Folder of the built page; null serves the API alone. */
  webFolder: z.string().nullable().default(null),
  anchors: z.coerce.number().int().min(0).max(64).default(4),
  /** MiB that each anchor lends; null for a share of the machine's memory. */
  anchorPledge: z.coerce
    .number()
    .int()
    .min(64)
    .max(1024 * 1024)
    .nullable()
    .default(null),
  /** Sessions that each runs at once. */
  anchorSlots: z.coerce.number().int().min(1).max(64).default(4),
  /** Tries of the work that a new volunteer key has to show, on average; each takes some 20 ms on a desktop. 0 for none. */
  admissionWork: z.coerce.number().int().min(0).max(MAX_WORK_TRIES).default(32),
  /** Raises every model's own minimum. */
  minStages: z.coerce.number().int().min(1).max(MAX_STAGES).default(1),
  /** Name of the transparency log, a URL without scheme; null for one made of the public URL, or of the log's key. */
  logOrigin: z
    .string()
    .regex(/^[\w.:/-]{1,200}$/)
    .nullable()
    .default(null),
  /** Witnesses that cosign the log: `VKEY URL`, as `chorus witness` prints it. */
  /** Sources of models that are imported at start where they are not there yet. */
  models: z.array(z.string().max(4096)).max(64).default([]),
  witnesses: z.array(z.string().transform(witnessAddress)).max(16).superRefine(demandDistinct).default([]),
  /** True to take entries into the log before a witness was heard: for whoever knows that the folder is the newest. */
  unwitnessedStart: z.boolean().default(false),
  /** True to go on as another server where `server.key` is lost, and without what `chorus.sqlite` held where that is. */
  newServerKey: z.boolean().default(false),
  newDatabase: z.boolean().default(false),
  /** How long receipts are kept, longer than one may come late; their entries in the log stay for ever. */
  receiptDays: z.coerce.number().min(2).default(365),
  /** Receipts that are kept at most, the newest. */
  receiptCount: z.coerce.number().int().positive().default(20_000),
  /** Bytes that these take at most on the disk. */
  receiptBytes: z.coerce
    .number()
    .int()
    .positive()
    .default(2 * 1024 * MIB),
  /** Pages open no direct connections to each other unless their owners choose to: strangers then do not see their addresses. */
  relayByDefault: z.boolean().default(false),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  iceServers: z.array(iceServerSchema).max(7).default([]),
  /** A TURN server that shares a secret with us (coturn `use-auth-secret`). */
  turn: z
    .strictObject({
      urls: z
        .array(
          z
            .string()
            .regex(/^turns?:/)
            .max(300),
        )
        .min(1)
        .max(8),
      secret: z.string().min(1),
      ttlSeconds: z
        .int()
        .min(60)
        .max(86_400)
        .default(6 * 3600),
    })
    .nullable()
    .default(null),
  times: z
    .strictObject({
      handshakeMs: z.int().positive().default(HANDSHAKE_TIMEOUT_MS),
      heartbeatMs: z.int().min(100).default(HEARTBEAT_MS),
      heartbeatTimeoutMs: z.int().min(100).default(HEARTBEAT_TIMEOUT_MS),
      /** A volunteer that loads a stage and gets no further in this time is given other work. */
      loadTimeoutMs: z
        .int()
        .positive()
        .default(2 * 60_000),
      leaseMs: z.int().positive().default(SESSION_LEASE_MS),
      /** How long a route may stay unopened while others wait: as long as a connection takes, or less where its address holds more. */
      openMs: z.int().positive().default(CONNECT_TIMEOUT_MS),
      openAmongManyMs: z.int().positive().default(3_000),
      resumeMs: z.int().min(0).default(RESUME_MS),
      /** How long a volunteer may take to show its work. */
      workMs: z
        .int()
        .positive()
        .default(2 * 60_000),
      /** How long no new connection is read of an address that goes on after it was refused. */
      shutMs: z.int().positive().default(5_000),
      /** Below what requesters wait, so that they hear why. */
      queueTimeoutMs: z
        .int()
        .positive()
        .default(ROUTE_TIMEOUT_MS - 5_000),
      /** How long a request waits for shadows that are busy or loading, before it goes without. */
      shadowWaitMs: z.int().min(0).default(20_000),
      /** How long a replay that settles a difference may take. */
      replayMs: z
        .int()
        .positive()
        .default(2 * 60_000),
      /** How long requests wait for the server's own anchors, counted from its start. */
      anchorsMs: z.int().positive().default(45_000),
      /** How long a volunteer that failed a requester comes last for that requester. */
      faultMemoryMs: z.int().positive().default(60_000),
      /** The same of one that stalled, doubled with each stall up to that. */
      stallMemoryMs: z.int().positive().default(5_000),
      /** A volunteer is not moved again before this. */
      moveCooldownMs: z.int().min(0).default(60_000),
      /** How often placement looks for a move that clearly helps. */
      rebalanceMs: z.int().positive().default(5_000),
      /** How often new models are looked for in the data folder. */
      rescanMs: z.int().positive().default(10_000),
    })
    .prefault({}),
  /** Hidden sessions: answers that the server asks for itself, to see what volunteers do. */
  hidden: z
    .strictObject({
      /** Mean time between two of one volunteer, half of it for one whose class is not exact. */
      meanMs: z
        .int()
        .positive()
        .default(10 * 60_000),
      /** Mean time from a complaint to the one that it brings. */
      complaintMeanMs: z.int().positive().default(45_000),
      /** How long a volunteer that failed one is left alone, doubled with each in a row. */
      backoffMs: z.int().positive().default(60_000),
      maxBackoffMs: z
        .int()
        .positive()
        .default(60 * 60_000),
      /** How long until one that neither passed nor failed is tried again. */
      againMs: z.int().positive().default(3_000),
      /** Volunteers that are tried at once before their first work. */
      trialsAtOnce: z.int().positive().default(4),
      /** Memory of the volunteers that stand in where no anchors hold a stage that is to be tried; 0 for none. */
      standInBytes: z
        .int()
        .min(0)
        .default(2048 * MIB),
      /** The part of the time that later ones may take together. */
      share: z.number().positive().max(1).default(0.1),
      /** How long one may take to open its first, and to get through it. */
      trialOpenMs: z.int().positive().default(10_000),
      trialMs: z.int().positive().default(20_000),
      /** How long any may take. */
      sessionMs: z
        .int()
        .positive()
        .default(3 * 60_000),
    })
    .prefault({}),
  limits: z
    .strictObject({
      connections: z.int().positive().default(5_000),
      connectionsPerAddress: z.int().positive().default(128),
      connectionAttemptsPerMinute: z.int().positive().default(600),
      /** Of one address over HTTP, answered with words. */
      httpRequestsPerMinute: z.int().positive().default(6_000),
      /** Requests and new connections of one address that anything is made of; refusals of more that it is answered before it is shut. */
      requests: rate(100, 2_000),
      refusedRequests: rate(1, 100),
      /** Open at once from one address, WebSockets among them; of no meaning behind a trusted proxy. */
      tcpConnectionsPerAddress: z.int().positive().default(1_024),
      /** Bytes that one address is sent over HTTP, and how many of its requests may be under way. */
      downloadBytes: rate(32 * MIB, 512 * MIB),
      downloads: z.int().positive().default(256),
      healthChecksPerMinute: z.int().positive().default(1_200),
      messages: rate(50, 300),
      /** Over the relay by one key, and by all of one address. */
      relayFrames: rate(4_000, 8_000),
      relayBytes: rate(16 * MIB, 32 * MIB),
      relayFramesPerAddress: rate(8_000, 16_000),
      relayBytesPerAddress: rate(32 * MIB, 64 * MIB),
      /** Frames of one key on channels that are not there. As many may be on their way when channels end. */
      relayStrays: rate(100, 2_000),
      /** Channels from one address to one peer that it has not answered yet. */
      relayHalfOpen: z.int().positive().default(32),
      /** Above this, what a slow receiver has not taken yet closes the channels for which most of it waits. */
      relayBufferedBytes: z
        .int()
        .positive()
        .default(8 * MIB),
      introductions: rate(50, 300),
      /** Volunteers that load their stage before they have shown their work, of one address and in all. */
      unprovenPerAddress: z.int().min(0).default(4),
      unproven: z.int().min(0).default(64),
      /** Work of one address that is found to be false before no more is looked at for a while, and what of it may wait to be looked at. */
      falseWork: rate(1 / 60, 4),
      workWaitingPerAddress: z.int().positive().default(32),
      /** Reports of faults by one peer, and of all peers that wait to be verified. */
      reports: rate(0.2, 16),
      reportsWaiting: z.int().positive().default(64),
      /** Messages with the claims of replicas from one requester, and of all that wait to be judged. Not for our own gateway. */
      claims: rate(20, 200),
      claimsWaiting: z.int().positive().default(256),
      /** Unproven faults that the requesters of one address prefix are heard with. */
      complaints: rate(1 / 60, 4),
      queueLength: z.int().min(0).default(64),
      routesPerRequester: z.int().positive().max(MAX_REQUESTER_SESSIONS).default(32),
      replaysPerRequester: z.int().positive().default(4),
      /** As many as a replica signs records for. */
      receiptsPerSession: z.int().positive().default(MAX_RECORDS),
      /** Not for this server's own gateway. */
      receiptsPerRequesterPerMinute: z.int().positive().default(60),
      /** From one address: each is verified, which takes some milliseconds. */
      receiptPostsPerMinute: z.int().positive().default(240),
    })
    .prefault({}),
});
export type Config = z.infer<typeof configSchema>;
export type ConfigInput = z.input<typeof configSchema>;

/** Throws `bad-message` that names each field that is wrong. */
export function parseConfig(input: unknown): Config {
  const parsed = configSchema.safeParse(input, { error: formWords });
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map((issue) => describeFault(issue, 'configuration'));
  throw new ChorusError('bad-message', reasons.join('; '));
}
