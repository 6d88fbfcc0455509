import type { PeerId } from '../../ids.ts';
import { noCounts, type CheckCounts, type SpanCheck } from '../../judge/finding.ts';

/** A shadow that is gone, with whom nobody checks its stage any more; `partner` is whom it contradicts. */
export interface BareStage {
  readonly shadow: PeerId;
  readonly partner: PeerId | null;
  /** True where something shows that the shadow failed: a referee, or what it did itself. */
  readonly isShown: boolean;
  /** True where that is no more than that it was late, or lost. */
  readonly isLate: boolean;
}

/** News of verdicts, to be told in this order. */
export interface Tellable {
  readonly bare: readonly BareStage[];
  readonly checks: readonly SpanCheck[];
}

/** What is left of a verdict; some of the tokens that were drawn from its rows are gone, and so is what was found of them. */
function cutShort(span: SpanCheck, end: number): SpanCheck {
  const stages = span.stages.map((stage) => {
    const findings = stage.findings.map((finding) => ({ ...finding, draws: null }));
    return { ...stage, findings, drawnBy: null };
  });
  return { ...span, end, stages };
}

/**
 * The verdicts of a session: as they stand, counted, and told in their order. A verdict that is the worse for a stage that
 * nobody checks any more is held until that has been told.
 */
export class SessionVerdicts {
  /** The verdicts on the session as it is now, over all its answers: positions that a cut takes away are judged anew. */
  #standing: SpanCheck[] = [];
  readonly #counts = noCounts();
  readonly #bare: BareStage[] = [];
  readonly #untold: SpanCheck[] = [];
  #isHeld = false;

  /** Positions before it have their verdict, from 0 on. */
  get end(): number {
    return this.#standing.at(-1)?.end ?? 0;
  }

  /** All that were given, whatever was cut since. */
  get counts(): CheckCounts {
    return { ...this.#counts };
  }

  /** The verdicts on the positions before `end`, without a gap from position 0 on. */
  upTo(end: number): SpanCheck[] {
    return this.#standing
      .filter(({ start }) => start < end)
      .map((span) => (span.end <= end ? span : cutShort(span, end)));
  }

  /** Forgets positions from `position` on. A verdict that the cut goes into holds for what is left of it. */
  cut(position: number): void {
    this.#standing = this.upTo(position);
  }

  /** Adds a verdict, which begins where the last one ended. */
  add(check: SpanCheck): void {
    this.cut(check.start);
    if (check.start === this.end && check.end > check.start) this.#standing.push(check);
    this.#counts[check.tier] += 1;
    this.#isHeld ||= this.#bare.length > 0 && check.tier === 'unchecked';
    this.#untold.push(check);
  }

  /** Counts a difference that nobody could settle. */
  addDisputed(): void {
    this.#counts.disputed += 1;
  }

  addBare(bare: BareStage): void {
    this.#bare.push(bare);
  }

  /** Verdicts that may be told now; none while they wait for `takeAll`. */
  take(): readonly SpanCheck[] {
    return this.#isHeld ? [] : this.#untold.splice(0);
  }

  /** Bare stages, and the verdicts held for them. */
  takeAll(): Tellable {
    this.#isHeld = false;
    return { bare: this.#bare.splice(0), checks: this.#untold.splice(0) };
  }
}
