import { toBase64 } from '#shared/bytes.ts';
import type { DrawCount, DrawRecord, SignedDrawRequest, Skip, StageDrawRecord } from '#shared/draw/draw-form.ts';
import { drawInput } from '#shared/draw/draw-request.ts';
import { makeStageDraw, replicasOf, type NotDrawn, type SkipOf } from '#shared/draw/make-draw.ts';
import type { RosterTree, SectionNode } from '#shared/draw/roster-tree.ts';
import { SHADOWS_OF_UNPROVEN } from '#shared/draw/stage-draw.ts';
import { isBusy, isLoaded } from '#shared/draw/volunteer-state.ts';
import type { VrfResult } from '#shared/draw/vrf.ts';
import type { PeerId } from '#shared/ids.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import { rangeOf } from '../placement/stage-grid.ts';
import type { Candidate } from '../routing/candidate.ts';
import { predictedMs } from '../routing/pace.ts';
import type { PlannedStage } from '../routing/scheduler.ts';
import { isProven } from '../routing/shadows.ts';
import type { RosterKeeper } from './roster-keeper.ts';
import type { VolunteerStates } from './volunteer-states.ts';

export interface RouteDrawerDeps {
  /** Id of the server's key. */
  readonly server: PeerId;
  readonly rosters: Pick<RosterKeeper, 'shown' | 'key'>;
  readonly states: Pick<VolunteerStates, 'of'>;
}

/** A request for a route that may be drawn. */
export interface DrawAsked {
  readonly request: SignedDrawRequest;
  readonly count: DrawCount;
  readonly requester: PeerId;
  readonly capacity: number;
  /** Whom the requester keeps away from: volunteers that worked for it a while ago, by what the server gave out itself. */
  readonly leftOut: ReadonlySet<PeerId>;
  /** Output and proof for the request, where they were made when it came. */
  readonly proved: VrfResult | undefined;
}

/** Replicas for the stages of a route, drawn so that anybody can repeat it; or why they are the server's choice. */
export interface DrawnRoute {
  readonly stages: readonly PlannedStage[];
  readonly record: DrawRecord;
}

const NOT_DRAWN: Readonly<Record<NotDrawn, string>> = {
  nobody: 'nobody on the roster that the request names was free for a stage',
  'too-many-skips': 'too many on the roster were busy',
  'too-many-unshown':
    'too many on the roster were gone, busy without having said so, or left out or blamed by the requester',
};
/** Somebody holds a stage who joined, or was measured, after the roster that the request names. */
const WORSE = 'a stage is checked better, or by nobody that failed this requester, as the server chose';

/**
 * Whom a draw passes over besides those who cannot take part, where enough are left: who is slower beside its sessions than it should
 * be, and who failed this requester a moment ago.
 */
interface Care {
  readonly ofLoad: boolean;
  readonly ofFaults: boolean;
}
/** Tried in turn: a draw with less care is better than none. */
const CARES: readonly Care[] = [
  { ofLoad: true, ofFaults: true },
  { ofLoad: false, ofFaults: true },
  { ofLoad: false, ofFaults: false },
];

interface DrawStages {
  readonly roster: RosterTree;
  readonly sections: readonly SectionNode[];
  /** Of the VRF. */
  readonly output: Uint8Array;
  readonly planned: readonly PlannedStage[];
  readonly candidates: readonly Candidate[];
  readonly asked: DrawAsked;
  readonly care: Care;
}

/** Draws the replicas of a planned route anew, from the roster in the checkpoint that the requester named. */
export class RouteDrawer {
  readonly #deps: RouteDrawerDeps;

  constructor(deps: RouteDrawerDeps) {
    this.#deps = deps;
  }

  /** `planned` are the stages that the scheduler chose, `candidates` all that it saw. Its own replicas stand where nothing better is drawn. */
  draw(
    model: PlannedModel,
    planned: readonly PlannedStage[],
    candidates: readonly Candidate[],
    asked: DrawAsked,
  ): DrawnRoute {
    const chosen = (reason: string): DrawnRoute => ({ stages: planned, record: { by: 'server', reason } });
    const { rosters, server } = this.#deps;
    const { request, requester, capacity } = asked;
    const shown = rosters.shown(request.checkpoint.size, request.checkpoint.root);
    if (shown === undefined) return chosen('the checkpoint that the request names was not shown here of late');
    const sections = planned.map(({ primary }) =>
      shown.roster.section(model.digest, rangeOf(primary.span, model.layers)),
    );
    if (sections.includes(undefined))
      return chosen('the roster that the request names is older than a stage of the route');
    const context = { server, model: model.digest, requester, capacity };
    const { proof, output } = asked.proved ?? rosters.key.prove(drawInput(request, context, shown.commitment.root));
    let why = WORSE;
    for (const care of CARES) {
      const made = this.#drawStages({
        roster: shown.roster,
        sections: sections as SectionNode[],
        output,
        planned,
        candidates,
        asked,
        care,
      });
      if (typeof made === 'string') {
        why = made;
        continue;
      }
      return {
        stages: made.stages,
        record: {
          ...{ by: 'roster', request, checkpoint: shown.note, roster: shown.commitment },
          ...{ proof: toBase64(proof), count: asked.count, stages: made.records },
        },
      };
    }
    return chosen(why);
  }

  /** All stages, or why they are not drawn. */
  #drawStages({ roster, sections, output, planned, candidates, asked, care }: DrawStages) {
    const { request, requester, leftOut } = asked;
    const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
    const [stages, records]: [PlannedStage[], StageDrawRecord[]] = [[], []];
    const networks = new Set<string>();
    for (const [stage, section] of sections.entries()) {
      const { range } = section.section;
      const wish = { output, stage, range, requester, shadows: request.shadows, networks: new Set(networks) };
      const made = makeStageDraw(roster, section, wish, this.#skipOf(planned[stage]!, byId, leftOut, care));
      if (typeof made === 'string') return NOT_DRAWN[made];
      networks.add(made.primary.network);
      const [primary, ...shadows] = replicasOf(made).map(({ member }) => byId.get(member.id)!);
      const drawn = { primary: primary!, shadows, predictedMs: predictedMs(primary!) };
      if (isWorse(drawn, planned[stage]!, request.shadows)) return WORSE;
      stages.push(drawn);
      records.push(made.record);
    }
    return { stages, records };
  }

  #skipOf(
    { primary }: PlannedStage,
    byId: ReadonlyMap<PeerId, Candidate>,
    leftOut: ReadonlySet<PeerId>,
    care: Care,
  ): SkipOf {
    return (member, pool, section): Skip | null => {
      const candidate = byId.get(member.id);
      if (leftOut.has(member.id)) return { reason: 'left-out' };
      const isThere =
        candidate?.isReady === true &&
        candidate.isTried &&
        candidate.span.start === primary.span.start &&
        candidate.span.end === primary.span.end &&
        candidate.numericClass === member.numericClass;
      if (!isThere) return { reason: 'gone' };
      if (care.ofFaults && candidate.failedLately) return { reason: 'failed' };
      const isFull = candidate.freeSlots <= 0;
      if (!isFull && !(care.ofLoad && isLoaded(candidate.running, pool, member, section))) return null;
      const state = this.#deps.states.of(member.id);
      if (state !== undefined && isBusy(state, pool, member, section)) return { reason: 'busy', state };
      // One that is only slower beside what it runs can take part; one without room cannot.
      return isFull ? { reason: 'gone' } : null;
    };
  }
}

/** True if a stage would be checked by fewer than the server would have it, by worse, or by more who failed the requester. */
function isWorse(drawn: PlannedStage, planned: PlannedStage, shadows: number): boolean {
  const replicasOfStage = ({ primary, shadows }: PlannedStage): Candidate[] => [primary, ...shadows];
  const failed = (stage: PlannedStage): number =>
    replicasOfStage(stage).filter(({ failedLately }) => failedLately).length;
  const isUnproven = (stage: PlannedStage): boolean => !replicasOfStage(stage).some(isProven);
  const isBarer =
    drawn.shadows.length < Math.min(planned.shadows.length, isProven(drawn.primary) ? shadows : SHADOWS_OF_UNPROVEN);
  const isUnmeasured = !drawn.primary.isMeasured && planned.primary.isMeasured;
  return isBarer || isUnmeasured || (isUnproven(drawn) && !isUnproven(planned)) || failed(drawn) > failed(planned);
}
