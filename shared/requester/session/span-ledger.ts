import type { SpanCheck } from '../../judge/finding.ts';

/** The verdicts on a session as it is now, over all its answers: what a cut takes away is judged anew. */
export class SpanLedger {
  #spans: SpanCheck[] = [];

  /** Positions before it have their verdict, from 0 on. */
  get end(): number {
    return this.#spans.at(-1)?.end ?? 0;
  }

  /** Adds a verdict, which begins where the last one ended. */
  add(check: SpanCheck): void {
    this.cut(check.start);
    if (check.start === this.end && check.end > check.start) this.#spans.push(check);
  }

  /** Forgets positions from `position` on. A verdict that the cut goes into holds for what is left of it. */
  cut(position: number): void {
    this.#spans = this.upTo(position);
  }

  /** The verdicts on the positions before `end`, without a gap from position 0 on. */
  upTo(end: number): SpanCheck[] {
    return this.#spans.filter(({ start }) => start < end).map((span) => (span.end <= end ? span : { ...span, end }));
  }
}
