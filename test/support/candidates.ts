import type { PeerId } from '#shared/ids.ts';
import type { Candidate, Demand } from '../../signal-server/routing/candidate.ts';
import type { Planned } from '../../signal-server/routing/scheduler.ts';

/** A volunteer that is free, quick and trusted, on a network of its own. */
export function candidate(id: string, start: number, end: number, overrides: Partial<Candidate> = {}): Candidate {
  return {
    id: id as PeerId,
    span: { start, end },
    prefix: `prefix of ${id}`,
    webrtc: true,
    numericClass: 'wasm',
    layerMs: 1,
    running: 0,
    freeSlots: 1,
    isReady: true,
    isTried: true,
    isHidden: false,
    failedLately: false,
    isNew: false,
    isSteady: false,
    isMeasured: true,
    ...overrides,
  };
}

export const demand: Demand = {
  requester: 'requester' as PeerId,
  webrtc: true,
  minStages: 2,
  shadows: 0,
  exclude: new Set(),
};

/** The primaries of a route. Throws where there is none. */
export function primaries(planned: Planned): string[] {
  return stagesOf(planned).map((stage) => stage.primary.id);
}

export function shadowsOf(planned: Planned): string[][] {
  return stagesOf(planned).map((stage) => stage.shadows.map((shadow) => shadow.id));
}

/** All replicas of each stage. */
export function replicasOf(planned: Planned): string[][] {
  return stagesOf(planned).map(({ primary, shadows }) => [primary, ...shadows].map(({ id }) => id));
}

function stagesOf(planned: Planned): Extract<Planned, { type: 'route' }>['stages'] {
  if (planned.type !== 'route') throw new Error(`no route: ${JSON.stringify(planned)}`);
  return planned.stages;
}
