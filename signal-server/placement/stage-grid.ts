import type { StageRange } from '#shared/model/stage.ts';

/**
 * A half-open run of units of a model of L layers: unit 0 is the embedding, units 1 to L are the layers, unit L + 1
 * is the head. On units, a stage is an interval and a route is a tiling of [0, L + 2).
 */
export interface UnitSpan {
  readonly start: number;
  readonly end: number;
}

export function spanOf(range: StageRange): UnitSpan {
  return { start: range.embedding ? 0 : range.start + 1, end: range.end + 1 + (range.head ? 1 : 0) };
}

export function rangeOf(span: UnitSpan, layers: number): StageRange {
  const embedding = span.start === 0;
  const head = span.end === layers + 2;
  return { start: embedding ? 0 : span.start - 1, end: head ? layers : span.end - 1, embedding, head };
}

/** Words for the units that nobody holds. */
export function describeSpan(span: UnitSpan, layers: number): string {
  const { start, end, embedding, head } = rangeOf(span, layers);
  const named = [embedding && 'the embedding', end > start && `layers ${start} to ${end - 1}`, head && 'the head'];
  return named.filter((name) => name !== false).join(' and ');
}

/**
 * Every stage that placement may hand out: the model cut into `minStages` parts of like cost, each halved again and
 * again. Two of them are either nested or disjoint, so that stages which together hold every unit always contain a
 * route, and that route never has fewer than `minStages` stages. Larger spans come first.
 */
export function stageGrid(unitCosts: readonly number[], minStages: number): UnitSpan[] {
  const spans: UnitSpan[] = [];
  const halve = (span: UnitSpan): void => {
    spans.push(span);
    if (span.end - span.start > 1) cutEvenly(span, 2, unitCosts).forEach(halve);
  };
  cutEvenly({ start: 0, end: unitCosts.length }, Math.min(minStages, unitCosts.length), unitCosts).forEach(halve);
  return spans.sort((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start);
}

/** `count` neighbouring parts of `span`, none empty, each cut where the cost so far is nearest to its share. */
function cutEvenly(span: UnitSpan, count: number, unitCosts: readonly number[]): UnitSpan[] {
  const costOf = (start: number, end: number): number =>
    unitCosts.slice(start, end).reduce((sum, cost) => sum + cost, 0);
  const total = costOf(span.start, span.end);
  const parts: UnitSpan[] = [];
  let start = span.start;
  for (let part = 1; part < count; part++) {
    const share = (total * part) / count;
    const last = span.end - (count - part);
    let end = start + 1;
    while (end < last && Math.abs(costOf(span.start, end + 1) - share) <= Math.abs(costOf(span.start, end) - share))
      end++;
    parts.push({ start, end });
    start = end;
  }
  return [...parts, { start, end: span.end }];
}

/** How many of `spans` hold each of `units` units. */
export function coverageOf(spans: readonly UnitSpan[], units: number): number[] {
  const coverage = new Array<number>(units).fill(0);
  for (const span of spans) for (let unit = span.start; unit < span.end; unit++) coverage[unit]! += 1;
  return coverage;
}

/** The first run of units with no cover; null if there is none. */
export function firstGap(coverage: readonly number[]): UnitSpan | null {
  const start = coverage.indexOf(0);
  if (start === -1) return null;
  const after = coverage.findIndex((count, unit) => unit > start && count > 0);
  return { start, end: after === -1 ? coverage.length : after };
}
