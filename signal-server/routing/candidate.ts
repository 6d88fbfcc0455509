import type { PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS, isExactClass } from '#shared/judge/numeric-class.ts';
import { thresholdFor, type ModelSize } from '#shared/judge/thresholds.ts';
import type { Replica } from '#shared/route/route.ts';
import type { Leases } from '../placement/leases.ts';
import { networkOf } from '../placement/network.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Member, Registry } from '../placement/registry.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';
import type { Trust } from '../trust/trust.ts';

/** A volunteer that holds a stage of the model asked for. */
export interface Candidate {
  readonly id: PeerId;
  readonly span: UnitSpan;
  /** Its network; each of the server's own anchors counts as one by itself. */
  readonly prefix: string;
  readonly webrtc: boolean;
  readonly numericClass: string;
  /** As the server's own sessions measured it. */
  readonly layerMs: number;
  /** Sessions it takes part in now. */
  readonly running: number;
  readonly freeSlots: number;
  /** False while it is still loading. */
  readonly isReady: boolean;
  /** False where nobody has measured it yet: it may be drawn later, and is not waited for. */
  readonly isTried: boolean;
  readonly isHidden: boolean;
  /** It failed this requester a moment ago. */
  readonly failedLately: boolean;
  /** Its key has not earned trust yet. */
  readonly isNew: boolean;
  /** An anchor of this server, or a key that has been trusted for long. */
  readonly isSteady: boolean;
  /** Its class is its own by what it computed, and was compared with the exact ones. */
  readonly isMeasured: boolean;
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

/** Milliseconds per layer of a volunteer that nobody has measured. */
const UNKNOWN_LAYER_MS = 5;

/**
 * Whether a volunteer is given work: `trial` until it has passed its first hidden session; `closed` for a while after it
 * failed one.
 */
export type Gate = 'open' | 'trial' | 'closed';

export interface CandidateSources {
  /** `open` also where the server has nobody to try it beside. */
  readonly gateOf: (member: Member) => Gate;
  readonly registry: Registry;
  readonly leases: Leases;
  readonly trust: Pick<Trust, 'standing'>;
  /** True for the server's own anchors. */
  readonly isAnchor: (id: PeerId) => boolean;
  /** True for volunteers that are not to be drawn: those of the server that exist for hidden sessions alone. */
  readonly isStandIn: (id: PeerId) => boolean;
  /** True while the server gives hidden sessions. Without them all count as equally fast and of their class. */
  readonly measuresSpeed: () => boolean;
}

/**
 * The volunteers that hold or load a stage of this model and may work, as this requester sees them. The slots of `kept`, who
 * work in a session that is about to end, count as free.
 */
export function candidatesFor(
  model: PlannedModel,
  failedLately: (volunteer: PeerId) => boolean,
  { registry, leases, trust, isAnchor, isStandIn, gateOf, measuresSpeed }: CandidateSources,
  kept: ReadonlySet<PeerId> = new Set(),
): Candidate[] {
  return registry.members.flatMap((member): Candidate[] => {
    const { volunteer } = member;
    if (volunteer?.assignment?.model !== model.digest || isStandIn(member.id)) return [];
    const { numericClass, webrtc, slots } = volunteer.offer;
    const { isNew, isLongTrusted, suspendedUntilMs } = trust.standing(member.id, numericClass);
    const gate = gateOf(member);
    if (suspendedUntilMs !== null || gate === 'closed') return [];
    const isKept = kept.has(member.id);
    const running = leases.running(member.id) - (isKept ? 1 : 0);
    const measures = measuresSpeed();
    const isOwn = isAnchor(member.id);
    const { tried, measuredClass } = volunteer;
    const layerMs = isOwn ? volunteer.layerMs : tried?.layerMs;
    // Of one that nobody can try, the class is what it says.
    const isUntriable = gate === 'open' && tried === null;
    return [
      {
        id: member.id,
        span: volunteer.assignment.span,
        prefix: networkOf(member, isOwn),
        webrtc,
        numericClass,
        layerMs: (measures ? layerMs : null) ?? UNKNOWN_LAYER_MS,
        running,
        freeSlots: slots - running,
        isReady: volunteer.state === 'ready',
        isTried: isOwn || gate === 'open',
        isHidden: volunteer.isHidden,
        failedLately: failedLately(member.id),
        isNew,
        isSteady: isOwn || isLongTrusted,
        isMeasured: (isOwn || !measures || isUntriable || measuredClass) && isComparedClass(numericClass, model.size),
        isKept,
      },
    ];
  });
}

/** A candidate as routes name it. */
export function replicaOf({ id, webrtc, numericClass }: Candidate): Replica {
  return { id, webrtc, numericClass };
}

/** True for an exact class, and for one that was compared with the engine's on models of this size. */
export function isComparedClass(numericClass: string, size: ModelSize): boolean {
  if (isExactClass(numericClass)) return true;
  return (['hidden', 'logits'] as const).every(
    (kind) => thresholdFor(numericClass, ENGINE_CLASS, kind, size).isMeasured,
  );
}
