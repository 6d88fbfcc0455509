import { isExactClass } from '#shared/judge/numeric-class.ts';
import type { PeerId } from '#shared/ids.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';
import type { Candidate, Demand } from '../routing/candidate.ts';
import type { Draw } from '../routing/draw.ts';
import { predictedMs } from '../routing/pace.ts';
import { planRoute, type Planned, type PlannedStage } from '../routing/scheduler.ts';

/** What a hidden session is to look at. */
export interface HiddenWish {
  /** The volunteer it is about; null where the anchors are to work alone. */
  readonly target: PeerId | null;
  readonly role: 'primary' | 'shadow';
  /** True where anchors hold every other stage: then what a lap takes tells of the target alone. */
  readonly isAmongAnchors: boolean;
}

/** Which volunteers are the server's own, and which of these exist for hidden sessions alone. */
export interface OwnVolunteers {
  readonly isAnchor: (id: PeerId) => boolean;
  readonly isStandIn: (id: PeerId) => boolean;
}

/** Anchors that stand beside the target at most: as many replicas of a stage as a route with a new key has. */
const MOST_REFERENCES = 2;

/**
 * The route of a hidden session: as the scheduler plans one, with the target and anchors of an exact class alone in the
 * target's stage, so that all that it computes is compared with them. `wait` and refusals are the scheduler's; a target
 * that holds no stage any more, or beside which no anchor is free, waits.
 */
export function planHidden(
  layers: number,
  demand: Demand,
  candidates: readonly Candidate[],
  wish: HiddenWish,
  draw: Draw,
  { isAnchor, isStandIn }: OwnVolunteers,
): Planned {
  const anchors = candidates.filter(({ id }) => isAnchor(id));
  if (wish.target === null) return planRoute(layers, demand, anchors, draw);
  const found = candidates.find(({ id }) => id === wish.target);
  if (found === undefined || found.freeSlots <= 0) return { type: 'wait' };
  // It has said that it is ready; that nobody has seen it work yet is why it is asked.
  const target = { ...found, isReady: true, isTried: true };
  const fitting = anchors.filter((anchor) => isReference(anchor, target.span));
  const lots = draw.lots(fitting);
  const references = fitting.sort((a, b) => lots.get(a)! - lots.get(b)!);
  if (references.length === 0) return { type: 'wait' };
  const beside = references.slice(0, MOST_REFERENCES);
  const elsewhere = (wish.isAmongAnchors ? anchors : candidates).filter(({ span }) => !overlap(span, target.span));
  const plan = (others: readonly Candidate[]): Planned =>
    planRoute(layers, demand, [target, ...beside, ...others], draw);
  // A neighbour that no answer of a person ever has would tell the target what this is.
  const usual = wish.isAmongAnchors ? null : plan(elsewhere.filter(({ id }) => !isStandIn(id)));
  const planned = usual?.type === 'route' ? usual : plan(elsewhere);
  if (planned.type !== 'route') return planned;
  const stages = planned.stages.map((stage) =>
    isSame(stage.primary.span, target.span) ? withTarget(stage, target, beside, wish.role) : stage,
  );
  const isThere = stages.some(({ primary, shadows }) => [primary, ...shadows].some(({ id }) => id === target.id));
  return isThere ? { ...planned, stages } : { type: 'wait' };
}

/** True for an anchor that can stand beside a volunteer of this stage now. */
export function isReference({ span, isReady, freeSlots, numericClass }: Candidate, of: UnitSpan): boolean {
  return isSame(span, of) && isReady && freeSlots > 0 && isExactClass(numericClass);
}

/** The stage with as many replicas as the scheduler gave it, the target among them in its role. */
function withTarget(
  { primary, shadows }: PlannedStage,
  target: Candidate,
  beside: readonly Candidate[],
  role: HiddenWish['role'],
): PlannedStage {
  const known = new Map([...beside, ...shadows, primary].map((replica) => [replica.id, replica]));
  known.delete(target.id);
  const others = [...known.values()];
  const count = Math.max(1, shadows.length);
  if (role === 'primary') {
    return { primary: target, shadows: others.slice(0, count), predictedMs: predictedMs(target) };
  }
  const [first, ...rest] = others as [Candidate, ...Candidate[]];
  return { primary: first, shadows: [target, ...rest].slice(0, count), predictedMs: predictedMs(first) };
}

function isSame(a: UnitSpan, b: UnitSpan): boolean {
  return a.start === b.start && a.end === b.end;
}

function overlap(a: UnitSpan, b: UnitSpan): boolean {
  return a.start < b.end && b.start < a.end;
}
