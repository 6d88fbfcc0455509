import type { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import type { CheckFailure, Finding, SpanCheck, StageCheck } from '#shared/judge/finding.ts';
import { isExactPair } from '#shared/judge/numeric-class.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { UNSETTLED } from '#shared/requester/engine/session-loss.ts';
import { CONTRADICTION } from '#shared/requester/session/told-fault.ts';
import type { Route } from '#shared/route/route.ts';
import { honestRateOf, type DrawCounts } from './lost-draws.ts';

/** What a hidden session came to, as far as its target is concerned. */
export type HiddenResult =
  | {
      readonly type: 'passed';
      /** Spans in which its rows stood beside an anchor's and agreed. */
      readonly spans: number;
      /** Of its laps, where it was the primary and all others were anchors; null where that was not so. */
      readonly lapMs: number | null;
      /** True where every one of them agreed in all bits, or within limits that were measured for the pair. */
      readonly isMeasured: boolean;
    }
  /** `wrong` numbers; `late` by a limit of seconds, which a browser can bring about; a `stall` of a moment, which anything can. */
  | { readonly type: 'failed'; readonly reason: string; readonly how: 'wrong' | 'late' | 'stall' }
  /** Nothing is known of the target that was not known before. */
  | { readonly type: 'unclear'; readonly reason: string };

/** For the one whom it is about. */
const WORDS: { readonly [Failure in CheckFailure]?: string } = {
  unreachable: 'its links could not be opened, or broke',
  'commit-missing': 'it did not sign what it computed',
  'commit-late': 'it signed what it computed too late',
  'reveal-missing': 'it did not show what it had signed',
  'reveal-late': 'it showed what it had signed too late',
  'too-slow': 'it fell behind by more than it may',
  'not-finite': 'it computed values that are no numbers',
  'sketch-mismatch': 'it showed other rows than it had signed',
  'output-mismatch': 'it signed other rows than it had sent',
  'input-mismatch': 'it signed other rows than it had been sent',
  disagreement: 'its numbers were not those of the layers',
};
const TARDY: ReadonlySet<CheckFailure> = new Set([
  'unreachable',
  'commit-missing',
  'commit-late',
  'reveal-missing',
  'reveal-late',
  'too-slow',
]);
const UNSIGNED = 'it did not sign at the end what it had computed';
const CONTRADICTED = 'it said of rows what anchors did not, or differed from them';
const DIFFERED = 'its numbers lay further from an anchor’s than honest devices of its class do';
const FARTHER = 'its numbers lay further from an anchor’s than is let pass while its class has not been measured';

/** Draws of one pair of classes, and the share that honest replicas of it lose, where that is known. */
export interface PairDraws extends DrawCounts {
  readonly pair: string;
  readonly honestRate: number | null;
}

export interface HiddenWatchDeps {
  readonly target: PeerId;
  readonly isAnchor: (id: PeerId) => boolean;
}

/** Follows the events of a hidden session and says what they show of its target. Believes its own server's anchors, and nobody else. */
export class HiddenWatch {
  readonly #deps: HiddenWatchDeps;
  readonly #lapsMs: number[] = [];
  #failure: Omit<Extract<HiddenResult, { type: 'failed' }>, 'type'> | null = null;
  #doubt: string | null = null;
  #isPrimary = false;
  #isThere = false;
  /** All other replicas are anchors: what nobody is blamed for is then the target's, and so is what laps take. */
  #isAmongAnchors = false;
  #firstLapMs: number | null = null;
  #spans = 0;
  #isMeasured = true;
  #tokens = 0;
  readonly #draws = new Map<string, PairDraws>();

  constructor(deps: HiddenWatchDeps) {
    this.#deps = deps;
  }

  /** True once the target has failed: the rest of the session is of no use. */
  get hasFailed(): boolean {
    return this.#failure !== null;
  }

  /** Every stage was open: the target has answered. */
  get isOpen(): boolean {
    return this.#isThere;
  }

  /** What its rows and an anchor's drew, by their pair of classes. */
  get draws(): readonly PairDraws[] {
    return [...this.#draws.values()];
  }

  /** Tokens drawn so far. */
  get tokens(): number {
    return this.#tokens;
  }

  take(event: AnswerEvent): void {
    const { target } = this.#deps;
    const isAmongAnchors = this.#isAmongAnchors;
    switch (event.type) {
      case 'routed':
        return this.#onRouted(event.route);
      case 'token':
        this.#tokens += 1;
        if (!this.#isPrimary || !isAmongAnchors) return;
        // The first waits for the whole prompt.
        if (this.#tokens === 1) this.#firstLapMs = event.lapMs;
        else this.#lapsMs.push(event.lapMs);
        return;
      case 'fault':
        if (event.volunteer !== target) return;
        return this.#fail(
          WORDS[event.code] ?? `it failed the check (${event.code})`,
          TARDY.has(event.code) ? 'late' : 'wrong',
        );
      case 'rerouted': {
        // Anchors do not contradict each other; but one that is busy may be late.
        const isContradiction = event.volunteer === null && isAmongAnchors && this.#isThere && isOfRows(event.reason);
        if (isContradiction) this.#fail(CONTRADICTED, 'wrong');
        if (event.volunteer === target) this.#fail(`it did not keep the session going: ${event.reason}`, 'stall');
        this.#isThere = false;
        this.#isPrimary = false;
        return;
      }
      case 'checked':
        return this.#onChecked(event.check);
      case 'end':
        return this.#onEvidence(event.evidence);
      default:
        return;
    }
  }

  /** The session is over: of itself, or with this error. `late` says what the target did not do in time, if so. */
  end(error: ChorusError | null, late: string | null = null): HiddenResult {
    if (this.#failure !== null) return { type: 'failed', ...this.#failure };
    if (this.#doubt !== null) return { type: 'failed', reason: this.#doubt, how: 'wrong' };
    if (late !== null) return { type: 'failed', reason: late, how: 'late' };
    if (error !== null) return { type: 'unclear', reason: error.message };
    if (this.#spans === 0) return { type: 'unclear', reason: 'none of its rows stood beside an anchor’s' };
    return {
      type: 'passed',
      spans: this.#spans,
      lapMs: medianOf(this.#lapsMs) ?? this.#firstLapMs,
      isMeasured: this.#isMeasured,
    };
  }

  #onRouted({ stages }: Route): void {
    const { target, isAnchor } = this.#deps;
    const ids = stages.flatMap(({ primary, shadows }) => [primary, ...shadows].map(({ id }) => id));
    this.#isAmongAnchors = ids.every((id) => id === target || isAnchor(id));
    this.#isPrimary = stages.some(({ primary }) => primary.id === target);
    this.#isThere = ids.includes(target);
  }

  #onEvidence(evidence: Evidence | null): void {
    const { target } = this.#deps;
    if (evidence === null || !this.#isThere) return;
    if (evidence.attestations.every(({ replica }) => replica !== target)) this.#fail(UNSIGNED, 'late');
  }

  #onChecked({ stages }: SpanCheck): void {
    for (const stage of stages) {
      const findings = this.#findingsOf(stage);
      if (findings.length === 0) continue;
      // Equal bits show a class that promises them; of another, they show only that it is not the one it names.
      const isMeasured = findings.every(
        ({ isExact, shadowClass, threshold }) =>
          threshold.isMeasured || (isExact && isExactPair(stage.primaryClass, shadowClass)),
      );
      this.#isMeasured &&= isMeasured;
      findings.forEach((finding) => this.#countDraws(finding, stage.primaryClass));
      if (findings.every(({ outcome }) => outcome === 'agreed')) this.#spans += 1;
      else this.#doubt ??= isMeasured ? DIFFERED : FARTHER;
    }
  }

  #countDraws({ draws, shadowClass, threshold }: Finding, primaryClass: string): void {
    if (draws === null) return;
    const { pair, isMeasured } = threshold;
    const before = this.#draws.get(pair) ?? { drawn: 0, lost: 0 };
    const honestRate = honestRateOf(primaryClass, shadowClass, isMeasured);
    const [drawn, lost] = [before.drawn + draws.drawn, before.lost + draws.lost];
    this.#draws.set(pair, { pair, honestRate, drawn, lost });
  }

  /** Comparisons of the target with anchors. */
  #findingsOf({ primary, findings }: StageCheck): readonly Finding[] {
    const { target, isAnchor } = this.#deps;
    if (primary === target) return findings.filter(({ shadow }) => isAnchor(shadow));
    return isAnchor(primary) ? findings.filter(({ shadow }) => shadow === target) : [];
  }

  #fail(reason: string, how: 'wrong' | 'late' | 'stall'): void {
    this.#failure ??= { reason, how };
  }
}

/** True where a session ended because two replicas said what cannot both be. */
function isOfRows(reason: string): boolean {
  return reason === CONTRADICTION || reason === UNSETTLED;
}

function medianOf(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
