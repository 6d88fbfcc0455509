import type { PeerId } from '#shared/ids.ts';
import type { Replica } from '#shared/route/route.ts';
import type { Leases } from '../placement/leases.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Registry } from '../placement/registry.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';
import type { Trust } from '../trust/trust.ts';

/** A volunteer that holds a stage of the model asked for. */
export interface Candidate {
  readonly id: PeerId;
  readonly span: UnitSpan;
  readonly prefix: string;
  readonly webrtc: boolean;
  readonly numericClass: string;
  readonly layerMs: number;
  /** Sessions it takes part in now. */
  readonly running: number;
  readonly freeSlots: number;
  /** False while it is still loading. */
  readonly isReady: boolean;
  readonly isHidden: boolean;
  /** It failed this requester a moment ago. */
  readonly failedLately: boolean;
  /** Its key has not earned trust yet. */
  readonly isNew: boolean;
  /** It works in the session that the route takes the place of. */
  readonly isKept?: boolean;
}

/** The wishes of a requester. */
export interface Demand {
  readonly requester: PeerId;
  readonly webrtc: boolean;
  readonly minStages: number;
  /** For each stage; a new key gets two if any are asked for. */
  readonly shadows: number;
  readonly exclude: ReadonlySet<PeerId>;
}

/** Milliseconds per layer of a volunteer that has not measured itself. */
const UNKNOWN_LAYER_MS = 5;

export interface CandidateSources {
  readonly registry: Registry;
  readonly leases: Leases;
  readonly trust: Pick<Trust, 'standing'>;
}

/**
 * The volunteers that hold or load a stage of this model and may work, as this requester sees them. The slots of `kept`, who
 * work in a session that is about to end, count as free.
 */
export function candidatesFor(
  model: PlannedModel,
  failedLately: (volunteer: PeerId) => boolean,
  { registry, leases, trust }: CandidateSources,
  kept: ReadonlySet<PeerId> = new Set(),
): Candidate[] {
  return registry.members.flatMap((member): Candidate[] => {
    const { volunteer } = member;
    if (volunteer?.assignment?.model !== model.digest) return [];
    const { isNew, suspendedUntilMs } = trust.standing(member.id, volunteer.offer.numericClass);
    if (suspendedUntilMs !== null) return [];
    const isKept = kept.has(member.id);
    const running = leases.running(member.id) - (isKept ? 1 : 0);
    return [
      {
        id: member.id,
        span: volunteer.assignment.span,
        prefix: member.prefix,
        webrtc: volunteer.offer.webrtc,
        numericClass: volunteer.offer.numericClass,
        layerMs: volunteer.layerMs ?? UNKNOWN_LAYER_MS,
        running,
        freeSlots: volunteer.offer.slots - running,
        isReady: volunteer.state === 'ready',
        isHidden: volunteer.isHidden,
        failedLately: failedLately(member.id),
        isNew,
        isKept,
      },
    ];
  });
}

/** A candidate as routes name it. */
export function replicaOf({ id, webrtc, numericClass }: Candidate): Replica {
  return { id, webrtc, numericClass };
}
