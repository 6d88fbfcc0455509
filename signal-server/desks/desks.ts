import type { Logger } from 'pino';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { verifyProof } from '#shared/proof/verify-proof.ts';
import type { Config } from '../machine/config.ts';
import type { DesksEnd } from '../peer-router/control-router.ts';
import { AdmissionDesk } from '../admission/admission-desk.ts';
import type { WorkChecks } from '../admission/work-checks.ts';
import { openWorkSeeds } from '../admission/work-seeds.ts';
import { DrawDesk } from '../draw/draw-desk.ts';
import { createVrfThread } from '../draw/vrf-thread.ts';
import type { LogService } from '../log/log-service.ts';
import { HiddenDesk } from '../hidden/hidden-desk.ts';
import { HiddenFigures } from '../hidden/hidden-figures.ts';
import { StandingDesk } from '../hidden/standing-desk.ts';
import { StandIns } from '../hidden/stand-ins.ts';
import { Leases } from '../placement/leases.ts';
import type { ModelCatalog } from '../placement/model-catalog.ts';
import { ModelDemand } from '../placement/model-demand.ts';
import { Registry, type Member } from '../placement/registry.ts';
import { candidatesFor } from '../routing/candidate.ts';
import { Draw } from '../routing/draw.ts';
import type { Store } from '../store/store.ts';
import { Complaints } from '../trust/complaints.ts';
import { holdPenalties, type HeldPenalties } from '../trust/held-penalties.ts';
import { Trust } from '../trust/trust.ts';
import type { Metrics } from '../view/metrics.ts';
import { ClaimDesk } from './claim-desk.ts';
import type { CompanionKeys } from './companion-keys.ts';
import { FinishedSessions } from './finished-sessions.ts';
import { FrontDesk } from './front-desk.ts';
import { signGrantWith } from './grant-route.ts';
import { ReplayDesk } from './replay-desk.ts';
import { ReportDesk } from './report-desk.ts';
import { RouteDesk, type RouteDeskDeps } from './route-desk.ts';
import { VolunteerDesk } from './volunteer-desk.ts';

export interface DesksDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly log: Logger;
  /** The server's own. */
  readonly identity: Identity;
  readonly catalog: ModelCatalog;
  readonly store: Store;
  readonly metrics: Metrics;
  /** Behind it are the peers. */
  readonly router: DesksEnd;
  readonly companionKeys: Pick<CompanionKeys, 'isOwn' | 'isAnchor' | 'isGateway'>;
  /** True while the server's own anchors are on their way. */
  readonly isFilling: () => boolean;
  /** As of `RouteDesk`. */
  readonly onTokens: RouteDeskDeps['onTokens'];
  /** Null where there is none. */
  readonly transparencyLog: Pick<LogService, 'append' | 'inclusion' | 'head'> | null;
  readonly onError: (error: unknown) => void;
  readonly times: Config['times'];
  readonly limits: Config['limits'];
  readonly hidden: Config['hidden'];
  readonly admissionWork: Config['admissionWork'];
  readonly workChecks: Pick<WorkChecks, 'check'>;
}

/** Everything that decides: who is here, who does what, who is believed. */
export interface Desks {
  readonly registry: Registry;
  readonly leases: Leases;
  readonly trust: Trust;
  /** What `trust` is kept in. */
  readonly penalties: HeldPenalties;
  readonly finishedSessions: FinishedSessions;
  readonly routes: RouteDesk;
  readonly reports: ReportDesk;
  readonly claims: ClaimDesk;
  readonly complaints: Complaints;
  readonly volunteers: VolunteerDesk;
  /** Null where there is no log. */
  readonly draws: DrawDesk | null;
  readonly hidden: HiddenDesk;
  readonly hiddenFigures: HiddenFigures;
  readonly standings: StandingDesk;
  readonly standIns: StandIns;
}

/** Opens the desks: from here on they answer what the router brings. */
export function createDesks(deps: DesksDeps): Desks {
  const { clock, random, log, identity, catalog, store, metrics, companionKeys, router, onError, limits } = deps;
  const registry = new Registry(clock);
  const leases = new Leases(clock);
  const isOwn = (id: PeerId): boolean => companionKeys.isOwn(id);
  const penalties = holdPenalties({ store: store.trust, onNews: (message) => log.error(message), onError });
  const trust = new Trust({ clock, store: penalties, isOwn });
  const complaints = new Complaints({
    ...{ clock, limits },
    isProven: (session, volunteer) => trust.isProven(session, volunteer),
    prefixOf: (requester) => registry.get(requester)?.prefix ?? null,
    onComplaint: (volunteer) => hidden.complained(volunteer),
  });
  const finishedSessions = new FinishedSessions({ clock, history: store.history, complaints, metrics, log, onError });
  const isAnchor = (id: PeerId): boolean => companionKeys.isAnchor(id);
  const send: DesksEnd['send'] = (to, message) => router.send(to, message);
  const models = (): ReturnType<RouteDeskDeps['models']> => catalog.planned;
  const standIns = new StandIns({
    ...{ clock, registry, log, mostBytes: deps.hidden.standInBytes },
    models: () => catalog.entries.filter(({ isWhole }) => isWhole).map(({ planned }) => planned),
  });
  const isStandIn = (id: PeerId): boolean => standIns.isStandIn(id);
  const hidden: HiddenDesk = new HiddenDesk({
    ...deps,
    ...{ registry, leases, trust, models, isAnchor, standIns },
    isBusy: () => routes.queued > 0,
    silenceMs: deps.times.heartbeatTimeoutMs + 2 * deps.times.heartbeatMs,
    onResult: ({ id, kind, result, isSteerer, tokens, tookMs }) => {
      hiddenFigures.add(kind, result.type, { tokens, anchorMs: tookMs, isSteerer });
      if (kind === 'trial' || result.type === 'failed') standings.tell(id);
    },
    onSupply: () => routes.retry(),
  });
  const hiddenFigures = new HiddenFigures();
  const demand = new ModelDemand(clock);
  const draw = new Draw(random);
  const standings = new StandingDesk({
    ...{ clock, registry, send },
    chance: () => draw.uniform(),
    spansOf: (id, numericClass) => trust.standing(id, numericClass),
    gateOf: (member) => hidden.gateOf(member),
    failureOf: (id) => hidden.failureOf(id),
    lastFault: (id) => trust.lastFault(id),
  });
  const shared = {
    ...deps,
    send,
    registry,
    leases,
    trust,
    models,
    gateOf: (member: Member) => hidden.gateOf(member),
    isAnchor,
    isStandIn,
    standIns,
    measuresSpeed: () => hidden.isOn,
    sign: signGrantWith(identity),
  };
  const { transparencyLog } = deps;
  const isGateway = (id: PeerId): boolean => companionKeys.isGateway(id);
  const draws =
    transparencyLog &&
    new DrawDesk({
      ...{ clock, random, registry, models, send, onError, isGateway },
      ...{ log: transparencyLog, server: identity.id, verify: verifySignature, startProver: createVrfThread },
      candidatesOf: (model) => candidatesFor(model, 1, () => false, shared),
    });
  const routes: RouteDesk = new RouteDesk({
    ...shared,
    draws,
    isGateway,
    planHidden: (requester, model, request) => hidden.planFor(requester, model, request),
    onAsked: (model) => demand.note(model),
    isAsleep: (model) => volunteers.supplyOf(model).isAsleep,
    onRefused: (code) => metrics.refusals.inc({ code }),
    onFinished: (session) => {
      finishedSessions.add(session);
      standings.worked(session.lease.volunteers);
    },
  });
  const replays = new ReplayDesk({
    ...shared,
    onRefused: (role) => metrics.replays.inc({ role, outcome: 'refused' }),
  });
  const volunteers = new VolunteerDesk({
    ...shared,
    asked: () => demand.asked,
    onReady(member) {
      hidden.ready(member);
      if (!isAnchor(member.id)) standings.tell(member.id);
    },
    onSupply: () => routes.retry(),
  });
  const authority = {
    serverKey: identity.publicKey,
    verify: verifySignature,
    manifest: (digest: Digest) => catalog.get(digest)?.manifest,
    isReferee: isAnchor,
  };
  const reports = new ReportDesk({
    ...shared,
    verify: (proof) => verifyProof(proof, authority),
    onConvicted: ({ session, accused, stage, reason }) => {
      log.warn({ session, volunteer: accused, stage, reason }, 'proven fault');
      volunteers.suspended(accused);
    },
    onReport: (isAccepted) => metrics.reports.inc({ accepted: String(isAccepted) }),
    onError,
  });
  const claims = new ClaimDesk({
    ...{ clock, leases, trust, isAnchor, isOwn, onError, limits },
    verify: verifySignature,
    modelSize: (digest) => catalog.get(digest)?.manifest.config ?? null,
    onJudged: (outcome) => {
      // Where an anchor took part is what a hidden session could be told by.
      const count = (sum: number): void => metrics.claims.inc({ outcome }, sum);
      if (hidden.isOn) hiddenFigures.countLater(`claims ${outcome}`, count);
      else count(1);
    },
  });
  const admission = new AdmissionDesk({
    ...{ clock, send, limits, onError, tries: deps.admissionWork, checks: deps.workChecks, times: deps.times },
    seedOf: openWorkSeeds(identity),
    drawBelow: (count) => Math.floor(draw.uniform() * count),
    isOwn: (id) => isOwn(id) || isAnchor(id),
    onAdmitted: (from, message) => front.receive(from, message),
  });
  const front = new FrontDesk({
    ...{ send, registry, admission, routes, draws, replays, reports, claims, volunteers, onError },
    isOwn,
    onSilent: (id) => hidden.silent(id),
    onVolunteer: (id, kind) => {
      if (isStandIn(id)) return;
      log.info({ volunteer: id, kind }, 'volunteer');
      store.history.volunteerSeen(id, kind, clock.wallMs()).catch(onError);
    },
  });
  router.receive(
    (from, message) => front.receive(from, message),
    (ended) => {
      if (ended.code !== 'cancelled') onError(ended);
    },
  );
  return {
    ...{ registry, leases, trust, penalties, finishedSessions, routes, draws, reports, claims, complaints, volunteers },
    ...{ hidden, hiddenFigures, standings, standIns },
  };
}
