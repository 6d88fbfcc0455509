import type { HiddenKind, HiddenOutcome } from './hidden-schedule.ts';

/** Sums over hidden sessions since the server started. */
export interface HiddenSums {
  /** By kind and outcome. */
  readonly sessions: Readonly<Record<HiddenKind, Readonly<Record<HiddenOutcome, number>>>>;
  readonly tokens: number;
  /** Milliseconds for which anchors had one at hand. */
  readonly anchorMs: number;
  /** Keys that were found to steer by near ties. */
  readonly steerers: number;
}

const noOutcomes = { passed: 0, failed: 0, unclear: 0 };
const NO_SUMS: HiddenSums = {
  ...{ sessions: { trial: noOutcomes, later: noOutcomes }, tokens: 0, anchorMs: 0, steerers: 0 },
};

/**
 * What hidden sessions came to and cost, for the operator. Anybody may read the figures, so they are shown as they stood
 * at the last full hour of the server's time: they tell nobody which session it was.
 */
export class HiddenFigures {
  #sums = NO_SUMS;
  #shown = NO_SUMS;
  readonly #later = new Map<string, { readonly sum: number; readonly count: (sum: number) => void }>();

  /** As they stood when they were published last. */
  get shown(): HiddenSums {
    return this.#shown;
  }

  add(
    kind: HiddenKind,
    outcome: HiddenOutcome,
    { tokens, anchorMs, isSteerer }: { tokens: number; anchorMs: number; isSteerer: boolean },
  ): void {
    const { sessions } = this.#sums;
    const ofKind = { ...sessions[kind], [outcome]: sessions[kind][outcome] + 1 };
    this.#sums = {
      sessions: { ...sessions, [kind]: ofKind },
      tokens: this.#sums.tokens + tokens,
      anchorMs: this.#sums.anchorMs + anchorMs,
      steerers: this.#sums.steerers + (isSteerer ? 1 : 0),
    };
  }

  /** Has one more of something counted once the figures are published: it would tell of single sessions too. */
  countLater(name: string, count: (sum: number) => void): void {
    this.#later.set(name, { sum: (this.#later.get(name)?.sum ?? 0) + 1, count });
  }

  publish(): void {
    this.#shown = this.#sums;
    for (const { sum, count } of this.#later.values()) count(sum);
    this.#later.clear();
  }
}
