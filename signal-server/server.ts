import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';
import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { createWorkChecks } from './admission/work-checks.ts';
import { createControlEdge } from './control/control-edge.ts';
import { CompanionKeys, type CompanionKind } from './desks/companion-keys.ts';
import { createDesks } from './desks/desks.ts';
import { ProxySigns } from './gate/proxy-signs.ts';
import { RefusalLog } from './gate/refusal-log.ts';
import { guardRequests } from './gate/request-gate.ts';
import type { AnswerShape } from './hidden/answer-shape.ts';
import type { HiddenRunner } from './hidden/hidden-run.ts';
import type { StandInRunner } from './hidden/stand-ins.ts';
import { ShapeMemory } from './hidden/hidden-shape.ts';
import { createHttpApp } from './http/http.ts';
import { createLogRouter } from './log/log-router.ts';
import type { LogService } from './log/log-service.ts';
import type { Config } from './machine/config.ts';
import type { DataFolder } from './machine/data-folder.ts';
import { lentByAnchors } from './machine/machine-memory.ts';
import { createRepeater } from './machine/repeater.ts';
import { isTold, type StorageState } from './machine/storage-state.ts';
import type { DesksEnd } from './peer-router/control-router.ts';
import { createInProcessRouter } from './peer-router/in-process-router.ts';
import type { ModelCatalog } from './placement/model-catalog.ts';
import type { Member } from './placement/registry.ts';
import { openReceipts } from './receipts/open-receipts.ts';
import type { ReceiptDesk } from './receipts/receipt-desk.ts';
import { Draw } from './routing/draw.ts';
import { pruneStore, type Store } from './store/store.ts';
import { createMetrics } from './view/metrics.ts';
import { HISTORY_STEP_MS, NetworkHistory } from './view/network-history.ts';
import { networkSnapshot } from './view/snapshot.ts';

/** How long requests and sockets may take to end by themselves when the server stops. */
const STOP_GRACE_MS = 1_000;
/** How long a snapshot is good for all who ask over HTTP. */
const SNAPSHOT_MS = 1_000;
/** Of the time, that snapshots may take. */
const SNAPSHOT_SHARE = 0.03;
/** How often a disk that takes nothing is tried again. */
const STORAGE_LOOK_MS = 1_000;
/** How often what is too old is dropped. */
const PRUNE_MS = 60 * 60_000;
/** How often the figures of hidden sessions are made public: seldom, so that they tell of no single one. */
const HIDDEN_FIGURES_MS = 60 * 60_000;
/** Proven faults that the network's snapshot names. */
const SHOWN_FAULTS = 20;

/** A part that runs inside the server process but speaks to it over its socket, as any peer does. */
export interface Companion {
  stop(): Promise<void>;
}

export interface CompanionContext {
  /** Where this process reaches its own server. */
  readonly url: string;
  readonly dataFolder: DataFolder;
  readonly catalog: ModelCatalog;
  readonly log: Logger;
  /** Makes a key known as one of the server's own; to be called before it connects. */
  readonly enlist: (id: PeerId, kind: CompanionKind) => void;
  /** Shows that a socket is of this process. */
  readonly ownToken: string;
  /** As of `clientAddress`. */
  readonly trustProxy: boolean;
  /** Answers that the server may ask for at once in its own name. */
  readonly mostAnswers: number;
  /** Null where there is no log. */
  readonly receipts: Pick<ReceiptDesk, 'accept'> | null;
  /** Hears of the answers that the gateway gives. */
  readonly onAnswer: (shape: AnswerShape) => void;
}

export interface ServerDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly log: Logger;
  readonly dataFolder: DataFolder;
  readonly catalog: ModelCatalog;
  readonly store: Store;
  readonly version: string;
  /** For a server whose sockets are in another process: the router to them. Without it, this process has the sockets. */
  readonly router?: DesksEnd;
  /** The transparency log; opened and stopped by the caller. */
  readonly transparencyLog?: LogService;
  /** Mounted at the root: what only this server's user may ask for. */
  readonly ownRouter?: RequestHandler;
  /** Whether the store's disk takes what it is given; left out for a store without a disk. */
  readonly storage?: Pick<StorageState, 'trouble'>;
  /** Called once the server listens; the router is then mounted at /v1. */
  readonly startGateway?: (context: CompanionContext) => Promise<Companion & { readonly router: RequestHandler }>;
  /** Called once the server listens: carries hidden sessions out. Without it there are none. */
  readonly startHidden?: (
    context: CompanionContext & { readonly shapes: Pick<ShapeMemory, 'draw'> },
  ) => Promise<Companion & HiddenRunner>;
  /** Called once the server listens: volunteers for hidden sessions where no anchors are. Without it there are none. */
  readonly startStandIns?: (context: CompanionContext) => Companion & StandInRunner;
  /** Called once the server listens. */
  readonly startAnchors?: (
    context: CompanionContext & { readonly count: number; readonly lent: ReturnType<typeof lentByAnchors> },
  ) => Promise<Companion>;
}

export interface SignalServer {
  /**
   * Listens; answers with the port the system chose where the configured one is 0. Rejects if it cannot, and with
   * `cancelled` if it is stopped before.
   */
  start(): Promise<{ port: number }>;
  snapshot(): NetworkSnapshot;
  /** Ends companions, sockets and requests; resolves when nothing runs any more. The store stays open. */
  stop(): Promise<void>;
}

/** Wires the whole server. Nothing runs before `start`. */
export function createSignalServer(config: Config, deps: ServerDeps): SignalServer {
  const { clock, random, log, dataFolder, catalog, store } = deps;
  const { times, limits } = config;
  const identity = dataFolder.serverIdentity;
  const startedAtMs = clock.wallMs();
  const history = new NetworkHistory(clock.nowMs());
  const ownRouter = deps.router === undefined ? createInProcessRouter(clock) : null;
  const router = deps.router ?? ownRouter!.desks;
  const onError = (error: unknown): void => {
    log[isTold(error) ? 'debug' : 'error']({ err: error }, 'unexpected failure');
  };
  const noReceipts = (): string | null => deps.storage?.trouble ?? deps.transparencyLog?.status.doubt ?? null;
  const companionKeys = new CompanionKeys();
  const ownToken = toHex(random(16));
  /** Until then, requests wait for the server's own anchors. */
  let anchorsDueMs = -Infinity;
  const readyAnchors = (): number =>
    shownMembers().filter(({ kind, volunteer }) => kind === 'anchor' && volunteer?.state === 'ready').length;

  const metrics = createMetrics({
    volunteers: () => countStates(shownMembers()),
    running: () => leases.size,
    queued: () => routes.queued,
    sockets: () => edge?.open ?? 0,
    suspended: () => trust.suspended,
    log: () => deps.transparencyLog?.status ?? null,
    isStoreFailing: () => (deps.storage?.trouble ?? null) !== null,
    hidden: () => hiddenFigures.shown,
  });
  const workChecks = createWorkChecks({ clock, waitingPerAddress: limits.workWaitingPerAddress });
  const desks = createDesks({
    clock,
    random,
    log,
    identity,
    catalog,
    store,
    metrics,
    router,
    companionKeys,
    isFilling: () => clock.nowMs() < anchorsDueMs && readyAnchors() < config.anchors,
    onTokens: ({ route }, tokens, tokensPerSecond) => {
      // No longer than there has been a route for it.
      const tookMs = Math.min((1000 * tokens) / (tokensPerSecond ?? Infinity), clock.wallMs() - route.issuedAtMs);
      history.addTokens(clock.nowMs(), tokens, tookMs);
    },
    transparencyLog: deps.transparencyLog ?? null,
    onError,
    times,
    limits,
    hidden: config.hidden,
    admissionWork: config.admissionWork,
    workChecks,
  });
  const { registry, leases, trust, penalties, finishedSessions, routes, reports, claims, complaints, volunteers } =
    desks;
  const { draws, hidden, hiddenFigures, standings, standIns } = desks;
  const proxySigns = new ProxySigns(config.trustProxy, (message) => log.warn(message));
  const refusals = new RefusalLog(clock, (message) => log.warn(message));
  const server = createServer();
  const edge =
    ownRouter &&
    createControlEdge(server, {
      ...{ clock, random, identity, router: ownRouter.edge, metrics, config, ownToken, onError },
      onSocketAsked: (request) => proxySigns.seeSocket(request),
      onAdvice: (message) => log.warn(message),
    });

  const receipts =
    deps.transparencyLog &&
    openReceipts({
      clock,
      log: deps.transparencyLog,
      store: store.receipts,
      listed: store.listed,
      catalog,
      serverKey: identity.publicKey,
      isGateway: (id) => companionKeys.isGateway(id),
      config,
      onAccepted: () => metrics.receipts.inc(),
      onRefused: (reason) => metrics.receiptsRefused.inc({ reason }),
      onError,
    });
  let gateway: RequestHandler | null = null;
  const app = createHttpApp({
    config,
    blobsPath: dataFolder.blobsPath,
    catalog,
    operatorKey: dataFolder.serverIdentity.publicKey,
    snapshot: recentSnapshot,
    metrics,
    ...{ clock, random },
    gateway: () => gateway,
    onRequest: (request) => proxySigns.see(request),
    socketRefusal: async (request) => (await edge?.refusalOf(request)) ?? null,
    noAnswers,
    noReceipts,
    ...(deps.transparencyLog && { log: createLogRouter(deps.transparencyLog) }),
    ...(receipts && { receipts: receipts.router }),
    ...(deps.ownRouter && { own: deps.ownRouter }),
    onError,
  });
  const requestGate = guardRequests(server, { clock, config, onRefused: (refusal) => refusals.add(refusal) }, app);
  const companions: Companion[] = [];
  const draw = new Draw(random);
  const shapes = new ShapeMemory(() => draw.uniform());
  let recent: { readonly untilMs: number; readonly snapshot: NetworkSnapshot } | null = null;
  const { every, stopAll } = createRepeater(clock, onError);
  const stopping = new AbortController();
  let starting: Promise<unknown> = Promise.resolve();

  /** All requests within a second get the same, or longer where it takes long to make: it never has more than a small share of the time. */
  function recentSnapshot(): NetworkSnapshot {
    const startedMs = clock.nowMs();
    if (recent !== null && startedMs < recent.untilMs) return recent.snapshot;
    const made = snapshot();
    const nowMs = clock.nowMs();
    recent = { untilMs: nowMs + Math.max(SNAPSHOT_MS, (nowMs - startedMs) / SNAPSHOT_SHARE), snapshot: made };
    return made;
  }

  /** All but those that exist for hidden sessions, whose coming would tell of these. */
  function shownMembers(): readonly Member[] {
    return registry.members.filter(({ id }) => !standIns.isStandIn(id));
  }

  function snapshot(): NetworkSnapshot {
    const { finished, failed } = finishedSessions.totals;
    return networkSnapshot({
      serverTimeMs: clock.wallMs(),
      relayByDefault: config.relayByDefault,
      startedAtMs,
      version: deps.version,
      publicUrl: config.publicUrl,
      members: shownMembers(),
      leases,
      trust,
      gateOf: (member) => hidden.gateOf(member),
      shownSpans: ({ id }) => (hidden.isOn ? standings.shown(id) : {}),
      hiddenSessions: hiddenFigures.shown,
      models: catalog.entries,
      reasonNotServable: (model) => routes.reasonNotServable(model),
      supplyOf: (model) => volunteers.supplyOf(model),
      sessions: { running: leases.size, queued: routes.queued, finished, failed },
      checks: finishedSessions.checksWith(routes.rested),
      faults: penalties.faults(SHOWN_FAULTS),
      history: [...history.points],
      tokensOf: ({ id }) => (store.history.volunteer(id)?.tokens ?? 0) + routes.positionsOf(id),
      noReceipts: noReceipts(),
    });
  }

  /** Why a question asked now would not be answered. */
  function noAnswers(): string | null {
    if (gateway === null) return 'the server is still starting, or has no API';
    if (routes.queued >= limits.queueLength) return 'too many requests wait already';
    const { models } = recentSnapshot();
    const servable = models.filter((model) => model.servable);
    if (servable.some(({ digest }) => catalog.get(digest)?.isWhole)) return null;
    if (servable.length > 0) return 'blobs of the model are missing on this server';
    return models[0]?.reason ?? 'this server has no model';
  }

  /** Looks whether a disk that took nothing takes something again, and settles what it had left. */
  async function lookAtStorage(): Promise<void> {
    if ((deps.storage?.trouble ?? null) !== null && deps.transparencyLog) {
      const { origin, size } = deps.transparencyLog.status;
      await store.acknowledged.write(origin, size);
    }
    await penalties.settle();
    if (noReceipts() === null) await receipts?.desk.settle();
  }

  function addHistory(): void {
    const volunteers = shownMembers().filter((member) => member.volunteer?.state === 'ready').length;
    history.add(clock.nowMs(), clock.wallMs(), { volunteers, sessions: leases.size });
  }

  async function rescan(): Promise<void> {
    const { added, refused, changed } = await catalog.rescan();
    for (const { digest, manifest } of added) log.info({ model: manifest.name, digest }, 'model');
    for (const { digest, manifest, isWhole } of [...added.filter((entry) => !entry.isWhole), ...changed]) {
      if (isWhole) log.info({ model: manifest.name, digest }, 'the blobs of a model are there again');
      else log.warn({ model: manifest.name, digest }, 'blobs of a model are missing: import it again');
    }
    for (const { digest, error } of refused)
      log.warn({ digest, code: error.code, reason: error.message }, 'model left out');
    if (added.length > 0 || changed.length > 0) volunteers.tick();
  }

  async function start(): Promise<{ port: number }> {
    const { signal } = stopping;
    await rescan();
    signal.throwIfAborted();
    await receipts?.desk.recover();
    signal.throwIfAborted();
    await receipts?.finder.catchUp();
    signal.throwIfAborted();
    if (deps.transparencyLog) {
      const { origin, size } = deps.transparencyLog.status;
      log.info({ origin, entries: size }, 'transparency log');
    }
    await listen(server, config);
    signal.throwIfAborted();
    const { port } = server.address() as AddressInfo;
    every(1_000, () => routes.tick());
    if (draws) every(1_000, () => draws.tick());
    every(1_000, () => hidden.tick());
    every(1_000, () => standings.tick());
    every(HIDDEN_FIGURES_MS, () => hiddenFigures.publish());
    every(times.heartbeatMs, () => edge?.beat());
    every(times.rebalanceMs, () => volunteers.tick());
    every(times.rescanMs, rescan);
    every(HISTORY_STEP_MS, addHistory);
    every(STORAGE_LOOK_MS, lookAtStorage);
    const prune = async (): Promise<void> => {
      reports.prune();
      claims.prune();
      complaints.prune();
      await pruneStore(store, receipts?.desk.livedMs ?? clock.wallMs());
      await receipts?.desk.tidy();
    };
    await prune();
    signal.throwIfAborted();
    every(PRUNE_MS, prune);
    const enlist = (id: PeerId, kind: CompanionKind): void => companionKeys.enlist(id, kind);
    const url = `http://${ownHost(config.host)}:${port}`;
    const context = {
      ...{ url, dataFolder, catalog, log, enlist, ownToken, mostAnswers: limits.routesPerRequester },
      trustProxy: config.trustProxy,
      receipts: receipts?.desk ?? null,
      onAnswer: (shape: AnswerShape) => shapes.remember(shape),
    };
    if (deps.startGateway) {
      const started = await deps.startGateway(context);
      companions.push(started);
      gateway = started.router;
      signal.throwIfAborted();
    }
    if (deps.startHidden) {
      const started = await deps.startHidden({ ...context, shapes });
      companions.push(started);
      hidden.attach(started);
      signal.throwIfAborted();
    }
    if (deps.startStandIns) {
      const started = deps.startStandIns(context);
      companions.push(started);
      standIns.attach(started);
    }
    if (deps.startAnchors && config.anchors > 0) {
      anchorsDueMs = clock.nowMs() + times.anchorsMs;
      companions.push(await deps.startAnchors({ ...context, count: config.anchors, lent: lentByAnchors(config) }));
    }
    return { port };
  }

  return {
    snapshot,
    start() {
      const started = start();
      starting = started.catch(() => undefined);
      return started;
    },
    async stop() {
      stopping.abort(new ChorusError('cancelled', 'the server was stopped while it started'));
      // Each step of the start ends by itself, and what it has begun by then is ended below.
      await starting;
      stopAll();
      await Promise.allSettled(companions.splice(0).map((companion) => companion.stop()));
      routes.stop();
      workChecks.stop();
      // Every socket's close is a last entry in the store, so all must be gone before it closes.
      await edge?.close(STOP_GRACE_MS);
      await router.close(STOP_GRACE_MS).catch(onError);
      await draws?.stop();
      await penalties.settle();
      if (penalties.held > 0)
        log.error(`${penalties.held} penalties of volunteers are lost: the disk did not take them`);
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      requestGate.close();
      server.closeIdleConnections();
      const force = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
      await closed;
      clearTimeout(force);
    },
  };
}

async function listen(server: Server, { port, host }: Config): Promise<void> {
  const failed = once(server, 'error').then(([error]) => Promise.reject(error as Error));
  server.listen(port, host);
  await Promise.race([once(server, 'listening'), failed]);
}

/** An address of ours that reaches `host`: a server on every interface is also on the loopback one. */
function ownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

function countStates(members: readonly Member[]): Record<'idle' | 'loading' | 'ready' | 'paused', number> {
  const counts = { idle: 0, loading: 0, ready: 0, paused: 0 };
  for (const { volunteer } of members) if (volunteer) counts[volunteer.state] += 1;
  return counts;
}
