import type { Logger } from 'pino';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { verifyProof } from '#shared/proof/verify-proof.ts';
import type { Config } from '../machine/config.ts';
import type { DesksEnd } from '../peer-router/control-router.ts';
import { Leases } from '../placement/leases.ts';
import type { ModelCatalog } from '../placement/model-catalog.ts';
import { Registry } from '../placement/registry.ts';
import type { Store } from '../store/store.ts';
import { Trust } from '../trust/trust.ts';
import type { Metrics } from '../view/metrics.ts';
import { FinishedSessions } from './finished-sessions.ts';
import { FrontDesk } from './front-desk.ts';
import { signGrantWith } from './grant-route.ts';
import { ReplayDesk } from './replay-desk.ts';
import { ReportDesk } from './report-desk.ts';
import { RouteDesk, type RouteDeskDeps } from './route-desk.ts';
import { VolunteerDesk } from './volunteer-desk.ts';

/** Peers that the server itself starts. Their keys are in its data folder, so nobody else can be them. */
export type CompanionKind = 'anchor' | 'gateway';

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
  readonly companionKeys: ReadonlyMap<PeerId, CompanionKind>;
  /** True while the server's own anchors are on their way. */
  readonly isFilling: () => boolean;
  /** As of `RouteDesk`. */
  readonly onTokens: RouteDeskDeps['onTokens'];
  readonly onError: (error: unknown) => void;
  readonly times: Config['times'];
  readonly limits: Config['limits'];
}

/** Everything that decides: who is here, who does what, who is believed. */
export interface Desks {
  readonly registry: Registry;
  readonly leases: Leases;
  readonly trust: Trust;
  readonly finishedSessions: FinishedSessions;
  readonly routes: RouteDesk;
  readonly reports: ReportDesk;
  readonly volunteers: VolunteerDesk;
}

/** Opens the desks: from here on they answer what the router brings. */
export function createDesks(deps: DesksDeps): Desks {
  const { clock, log, identity, catalog, store, metrics, companionKeys, router, onError } = deps;
  const registry = new Registry(clock);
  const leases = new Leases(clock);
  const isOwn = (id: PeerId): boolean => companionKeys.has(id);
  const trust = new Trust({ clock, store: store.trust, isOwn });
  const finishedSessions = new FinishedSessions({ clock, history: store.history, trust, metrics, log, onError });
  const isAnchor = (id: PeerId): boolean => companionKeys.get(id) === 'anchor';
  const send: DesksEnd['send'] = (to, message) => router.send(to, message);
  const shared = {
    ...deps,
    send,
    registry,
    leases,
    trust,
    isAnchor,
    measuresSpeed: () => false,
    models: () => catalog.planned,
    sign: signGrantWith(identity),
  };
  const routes = new RouteDesk({
    ...shared,
    onRefused: (code) => metrics.refusals.inc({ code }),
    onFinished: (session) => finishedSessions.add(session),
  });
  const replays = new ReplayDesk({
    ...shared,
    onRefused: (role) => metrics.replays.inc({ role, outcome: 'refused' }),
  });
  const volunteers = new VolunteerDesk({ ...shared, onSupply: () => routes.retry() });
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
  const front = new FrontDesk({
    ...{ send, registry, routes, replays, reports, volunteers, onError },
    isOwn,
    onVolunteer: (id, kind) => {
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
  return { registry, leases, trust, finishedSessions, routes, reports, volunteers };
}
