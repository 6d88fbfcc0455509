import type { PeerId } from '../../ids.ts';
import type { CheckFailure, Closeness, Finding, SpanCheck } from '../../judge/finding.ts';
import type { StageRange } from '../../model/stage.ts';
import type { AnswerEvent } from '../answer-event.ts';

const measures = ['median', 'p95', 'max', 'bias'] as const;
type Measure = (typeof measures)[number];

/** A difference with the limit it was held to. */
export interface HeldDifference {
  readonly measure: Measure;
  readonly value: number;
  readonly limit: number;
}

export interface NamedFault {
  readonly volunteer: PeerId;
  readonly stage: number;
  readonly code: CheckFailure;
  /** True where signed messages show it to anybody. */
  readonly isProven: boolean;
}

/** The checks of one answer so far, gathered from its events. */
export class CheckSummary {
  #checkedEnd = -1;
  #firstStart: number | null = null;
  #replicas = Infinity;
  #isExact = true;
  #worst: Pick<Closeness, Measure> | null = null;
  #closestCall: HeldDifference | null = null;
  readonly #faults: NamedFault[] = [];
  readonly #thirds = new Set<PeerId>();
  readonly #unchecked: SpanCheck[] = [];
  #ranges: readonly StageRange[] = [];
  #hasShadows = false;

  add(event: AnswerEvent): void {
    if (event.type === 'routed') this.#follow(event);
    if (event.type === 'checked') this.#addSpan(event.check);
    if (event.type === 'rerouted' || event.type === 'redrawn')
      this.#checkedEnd = Math.min(this.#checkedEnd, event.from - 1);
    if (event.type === 'fault') this.#faults.push(event);
  }

  /** Tokens at positions up to and with this one have their verdict; -1 before the first. */
  get checkedEnd(): number {
    return this.#checkedEnd;
  }

  /** Positions that have a verdict. */
  get positions(): number {
    return this.#firstStart === null ? 0 : Math.max(0, this.#checkedEnd - this.#firstStart);
  }

  /** Replicas of a stage that agreed, in the span and stage where they were fewest; 0 before the first verdict. */
  get replicas(): number {
    return this.#replicas === Infinity ? 0 : this.#replicas;
  }

  /** True if all replicas that were compared gave the same bits. */
  get isExact(): boolean {
    return this.#worst !== null && this.#isExact;
  }

  /** The largest of each difference between replicas that were not found wrong; null if none were compared. */
  get worst(): Pick<Closeness, Measure> | null {
    return this.#worst;
  }

  /** The difference that came closest to its limit. */
  get closestCall(): HeldDifference | null {
    return this.#closestCall;
  }

  get faults(): readonly NamedFault[] {
    return this.#faults;
  }

  /** Thirds that settled a difference, and were given rows for that. */
  get thirds(): ReadonlySet<PeerId> {
    return this.#thirds;
  }

  /** Verdicts by which a chunk is unchecked. */
  get unchecked(): readonly SpanCheck[] {
    return this.#unchecked;
  }

  /** Of the stages of its last route; empty where it never had one. */
  get ranges(): readonly StageRange[] {
    return this.#ranges;
  }

  /** True where a stage of any of its routes had a second replica. */
  get hasShadows(): boolean {
    return this.#hasShadows;
  }

  #follow({ route }: Extract<AnswerEvent, { type: 'routed' }>): void {
    this.#ranges = route.stages.map(({ range }) => range);
    this.#hasShadows ||= route.stages.some(({ shadows }) => shadows.length > 0);
  }

  #addSpan(check: SpanCheck): void {
    const { tier, start, end, stages } = check;
    for (const { arbiter } of stages) if (arbiter !== null) this.#thirds.add(arbiter.id);
    if (tier === 'disputed') return;
    if (tier === 'unchecked') this.#unchecked.push(check);
    this.#firstStart = Math.min(this.#firstStart ?? start, start);
    this.#checkedEnd = Math.max(this.#checkedEnd, end);
    for (const { findings, tier: ofStage } of stages) {
      const others = ofStage === 'unchecked' ? [] : findings;
      this.#replicas = Math.min(this.#replicas, 1 + others.filter(({ outcome }) => outcome === 'agreed').length);
      for (const finding of findings) if (finding.outcome !== 'rejected') this.#addFinding(finding);
    }
  }

  #addFinding({ closeness, threshold, isExact }: Finding): void {
    this.#isExact &&= isExact;
    const worst = this.#worst ?? closeness;
    const larger = (measure: Measure): number => Math.max(worst[measure], closeness[measure]);
    this.#worst = { median: larger('median'), p95: larger('p95'), max: larger('max'), bias: larger('bias') };
    for (const measure of measures) {
      const held = { measure, value: closeness[measure], limit: threshold.accept[measure] };
      const before = this.#closestCall;
      if (before === null || held.value / held.limit > before.value / before.limit) this.#closestCall = held;
    }
  }
}
