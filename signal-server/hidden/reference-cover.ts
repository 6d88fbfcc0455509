import type { UnitSpan } from '../placement/stage-grid.ts';

/** True if some of these spans, set end to end before and after this one, make up a whole model of so many units. */
export function completes(span: UnitSpan, spans: readonly UnitSpan[], units: number): boolean {
  return isTiled(0, span.start, spans) && isTiled(span.end, units, spans);
}

function isTiled(start: number, end: number, spans: readonly UnitSpan[]): boolean {
  const reached = new Set([start]);
  for (let unit = start; unit < end; unit++) {
    if (!reached.has(unit)) continue;
    for (const span of spans) if (span.start === unit && span.end <= end) reached.add(span.end);
  }
  return reached.has(end);
}
