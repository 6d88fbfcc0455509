import type { RandomBytes } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { FaultMemory } from '../trust/fault-memory.ts';
import { candidatesFor, type Candidate, type CandidateSources, type Kept } from './candidate.ts';
import { Draw } from './draw.ts';
import type { RouteRequest } from './route-queue.ts';
import { planRoute, type Planned } from './scheduler.ts';

export interface RoutePlannerDeps extends CandidateSources {
  readonly random: RandomBytes;
  readonly faults: Pick<FaultMemory, 'failedLately'>;
  /** True while volunteers are on their way that have not joined yet: what lacks volunteers waits for them. */
  readonly isFilling: () => boolean;
  /** True for a model that volunteers who work for others could hold: whoever asks for it waits until they do. */
  readonly isAsleep: (model: PlannedModel) => boolean;
  readonly times: { readonly shadowWaitMs: number };
}

/** Looks at who is here and plans routes for requests; whether a request then goes or waits is the desk's to do. */
export class RoutePlanner {
  readonly #deps: RoutePlannerDeps;
  readonly #draw: Draw;

  constructor(deps: RoutePlannerDeps) {
    this.#deps = deps;
    this.#draw = new Draw(deps.random);
  }

  /** A route for this requester, drawn anew each time. */
  plan(model: PlannedModel, requester: PeerId, request: RouteRequest): Planned {
    const demand = {
      requester,
      webrtc: request.webrtc,
      minStages: Math.max(model.minStages, request.policy.minStages),
      shadows: request.policy.shadows,
      exclude: new Set(request.exclude),
    };
    const kept = this.#kept(requester, request);
    const planned = planRoute(
      model.layers,
      demand,
      this.#candidates(model, request.capacity, requester, kept),
      this.#draw,
    );
    if (planned.type === 'refused' && (this.#deps.isFilling() || this.#deps.isAsleep(model))) return { type: 'wait' };
    return planned;
  }

  /** Everybody who could have a part in the route of such a request, as its requester sees them. */
  candidatesFor(model: PlannedModel, requester: PeerId, request: RouteRequest): Candidate[] {
    return this.#candidates(model, request.capacity, requester, this.#kept(requester, request));
  }

  /** An answer that could be checked in a moment is better than one at once, but not for ever. */
  waitsForShadows(planned: Planned, { policy }: RouteRequest, waitedMs: number): boolean {
    if (planned.type !== 'route' || policy.shadows === 0) return false;
    if (planned.stages.some((stage) => stage.shadows.length === 0) && this.#deps.isFilling()) return true;
    return planned.lacksBusyShadows && waitedMs < this.#deps.times.shadowWaitMs;
  }

  /** Why a plain request for this model would get no route now; null if it would get one. */
  reasonNotServable(model: PlannedModel): string | null {
    const demand = {
      requester: '' as PeerId,
      webrtc: true,
      minStages: model.minStages,
      shadows: 0,
      exclude: new Set<PeerId>(),
    };
    const planned = planRoute(model.layers, demand, this.#candidates(model, 1, demand.requester), this.#draw);
    if (planned.type === 'route') return null;
    if (planned.type === 'wait') return 'all volunteers are busy or loading';
    return this.#deps.isAsleep(model)
      ? 'the volunteers here work for other models, until somebody asks for this one'
      : planned.message;
  }

  /** Those who stay of the session that the route takes the place of. It must leave somebody of it out, or there is no reason to. */
  #kept(requester: PeerId, { after, exclude }: RouteRequest): Kept | undefined {
    const lease = after === undefined ? undefined : this.#deps.leases.get(after);
    if (lease?.requester !== requester || lease.role !== 'answer') return undefined;
    const staying = lease.volunteers.filter((id) => !exclude.includes(id));
    if (staying.length === lease.volunteers.length) return undefined;
    return { volunteers: new Set(staying), positions: lease.route.capacity };
  }

  #candidates(model: PlannedModel, positions: number, requester: PeerId, kept?: Kept): Candidate[] {
    const failedLately = (volunteer: PeerId): boolean => this.#deps.faults.failedLately(requester, volunteer);
    return candidatesFor(model, positions, failedLately, this.#deps, kept);
  }
}
