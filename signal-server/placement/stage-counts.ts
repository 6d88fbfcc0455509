import type { UnitSpan } from './stage-grid.ts';

/** Replicas that a stage needs before others can check it. */
export const PAIR = 2;

/**
 * How many volunteers hold the very same stage: only these can check each other. The depth of a unit is the count of the
 * best-held stage that contains it.
 */
export class StageCounts {
  readonly #stages = new Map<string, { readonly span: UnitSpan; readonly count: number }>();

  constructor(spans: readonly UnitSpan[]) {
    for (const span of spans) this.#add(span, 1);
  }

  count(span: UnitSpan): number {
    return this.#stages.get(keyOf(span))?.count ?? 0;
  }

  /** The counts once a volunteer has moved. */
  moved(from: UnitSpan | null, to: UnitSpan | null): StageCounts {
    const after = new StageCounts([]);
    for (const { span, count } of this.#stages.values()) after.#add(span, count);
    if (from !== null) after.#add(from, -1);
    if (to !== null) after.#add(to, 1);
    return after;
  }

  depths(units: number): number[] {
    const depths = new Array<number>(units).fill(0);
    for (const { span, count } of this.#stages.values()) {
      for (let unit = span.start; unit < span.end; unit++) depths[unit] = Math.max(depths[unit]!, count);
    }
    return depths;
  }

  /** Units that nobody holds, and units of which no stage has a second holder. */
  lacks(units: number): { uncovered: number; unpaired: number } {
    const depths = this.depths(units);
    return {
      uncovered: depths.filter((depth) => depth === 0).length,
      unpaired: depths.filter((depth) => depth < PAIR).length,
    };
  }

  #add(span: UnitSpan, change: number): void {
    const count = this.count(span) + change;
    if (count === 0) this.#stages.delete(keyOf(span));
    else this.#stages.set(keyOf(span), { span, count });
  }
}

function keyOf({ start, end }: UnitSpan): string {
  return `${start}-${end}`;
}
