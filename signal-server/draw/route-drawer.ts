import { toBase64 } from '#shared/bytes.ts';
import type { DrawCount, DrawRecord, SignedDrawRequest, Skip, StageDrawRecord } from '#shared/draw/draw-form.ts';
import { drawInput } from '#shared/draw/draw-request.ts';
import { makeStageDraw, replicasOf, type NotDrawn, type SkipOf } from '#shared/draw/make-draw.ts';
import { FAST_FACTOR, keepsUp, SHADOW_FACTOR } from '#shared/draw/speed-class.ts';
import { isBusy } from '#shared/draw/volunteer-state.ts';
import type { PeerId } from '#shared/ids.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import { rangeOf } from '../placement/stage-grid.ts';
import type { Candidate } from '../routing/candidate.ts';
import { predictedMs } from '../routing/pace.ts';
import type { PlannedStage } from '../routing/scheduler.ts';
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
}

/** Replicas for the stages of a route, drawn so that anybody can repeat it; or why they are the server's choice. */
export interface DrawnRoute {
  readonly stages: readonly PlannedStage[];
  readonly record: DrawRecord;
}

const NOT_DRAWN: Readonly<Record<NotDrawn, string>> = {
  nobody: 'nobody on the roster that the request names was free for a stage',
  'too-many-skips': 'too many on the roster were busy',
  'too-many-unshown': 'too many on the roster were gone, or busy without having said so',
};

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
    const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
    const context = { server, model: model.digest, requester, capacity };
    const { proof, output } = rosters.key.prove(drawInput(request, context, shown.commitment.root));
    const [stages, records]: [PlannedStage[], StageDrawRecord[]] = [[], []];
    const networks = new Set<string>();
    for (const [stage, section] of sections.entries()) {
      const wish = {
        ...{ output, stage, range: section!.section.range, requester },
        ...{ shadows: request.shadows, networks: new Set(networks) },
      };
      const made = makeStageDraw(shown.roster, section!, wish, this.#skipOf(planned[stage]!, byId, asked.leftOut));
      if (typeof made === 'string') return chosen(NOT_DRAWN[made]);
      networks.add(made.primary.network);
      const [primary, ...shadows] = replicasOf(made).map(({ member }) => byId.get(member.id)!);
      const drawn = { primary: primary!, shadows, predictedMs: predictedMs(primary!) };
      // Who has come since, and is not on the roster, may be what a stage needs to be checked.
      if (isWorse(drawn, planned[stage]!))
        return chosen('a stage is checked better by somebody who is not on the roster yet');
      stages.push(drawn);
      records.push(made.record);
    }
    return {
      stages,
      record: {
        ...{ by: 'roster', request, checkpoint: shown.note, roster: shown.commitment },
        ...{ proof: toBase64(proof), count: asked.count, stages: records },
      },
    };
  }

  #skipOf({ primary }: PlannedStage, byId: ReadonlyMap<PeerId, Candidate>, leftOut: ReadonlySet<PeerId>): SkipOf {
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
      const factor = pool === 'lead' ? FAST_FACTOR : SHADOW_FACTOR;
      const isFull = candidate.freeSlots <= 0;
      if (!isFull && (candidate.running === 0 || keepsUp(member.speed, section.fastest, factor, candidate.running))) {
        return null;
      }
      const state = this.#deps.states.of(member.id);
      if (state !== undefined && isBusy(state, pool, member, section)) return { reason: 'busy', state };
      // One that is only slower beside what it runs can take part; one without room cannot.
      return isFull ? { reason: 'gone' } : null;
    };
  }
}

function isWorse(drawn: PlannedStage, planned: PlannedStage): boolean {
  if (drawn.shadows.length === 0 && planned.shadows.length > 0) return true;
  const isUnproven = ({ primary, shadows }: PlannedStage): boolean =>
    [primary, ...shadows].every(({ isNew, isMeasured }) => isNew || !isMeasured);
  return isUnproven(drawn) && !isUnproven(planned);
}
