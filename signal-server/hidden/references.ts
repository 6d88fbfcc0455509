import type { Clock } from '#shared/clock.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import { isExactClass } from '#shared/judge/numeric-class.ts';
import type { PlannedModel } from '../placement/planned-model.ts';
import type { Assignment, Registry } from '../placement/registry.ts';
import type { UnitSpan } from '../placement/stage-grid.ts';
import { completes } from './reference-cover.ts';

/** Anchors that were there a moment ago are on their way back; until then nobody slips past them. */
const GAP_MS = 60_000;

export interface ReferencesDeps {
  readonly clock: Clock;
  readonly registry: Pick<Registry, 'members'>;
  readonly models: () => readonly PlannedModel[];
  readonly isAnchor: (id: PeerId) => boolean;
  /** True while anchors are on their way for the first time. */
  readonly isFilling: () => boolean;
}

/** The anchors that volunteers are compared with. */
export class References {
  readonly #deps: ReferencesDeps;
  /** When they last held a stage and all beside it, by model and stage. */
  readonly #heldMs = new Map<string, number>();

  constructor(deps: ReferencesDeps) {
    this.#deps = deps;
  }

  /** True where anchors of an exact class hold this very stage and all others, or did a moment ago. */
  hold({ model: digest, span }: Pick<Assignment, 'model' | 'span'>): boolean {
    const { clock, isFilling, models } = this.#deps;
    const nowMs = clock.nowMs();
    const model = models().find((planned) => planned.digest === digest);
    if (model === undefined) return false;
    const spans = this.#spansOf(digest);
    const key = `${digest} ${span.start}-${span.end}`;
    const isNow = spans.some((held) => held.start === span.start && held.end === span.end);
    if (isNow && completes(span, spans, model.units)) this.#heldMs.set(key, nowMs);
    return isFilling() || nowMs - (this.#heldMs.get(key) ?? -Infinity) < GAP_MS;
  }

  #spansOf(model: Digest): UnitSpan[] {
    const { isAnchor, registry } = this.#deps;
    return registry.members.flatMap(({ id, volunteer }) => {
      if (volunteer?.assignment?.model !== model || !isAnchor(id)) return [];
      return isExactClass(volunteer.offer.numericClass) ? [volunteer.assignment.span] : [];
    });
  }
}
