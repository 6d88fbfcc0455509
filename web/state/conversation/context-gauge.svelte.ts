import type { Clock } from '#shared/clock.ts';
import type { Digest } from '#shared/ids.ts';
import { fitContext, type Asking, type ContextFit, type PromptMeter } from '../../conversations/fit-context.ts';

export interface ContextGaugeDeps {
  /** Rejects with why the tokenizer could not be had. */
  readonly openMeter: (model: Digest) => Promise<PromptMeter>;
  readonly clock: Clock;
}

/** Pauses in writing that are shorter are not measured. */
const PAUSE_MS = 150;

/** Whether what is being written fits into what the model reads, known before it is sent. */
export class ContextGauge {
  /** Null before it is known, and where it cannot be. */
  fit: ContextFit | null = $state.raw(null);

  readonly #deps: ContextGaugeDeps;
  #open: { readonly model: Digest; readonly meter: Promise<PromptMeter> } | null = null;
  #stopTimer: (() => void) | null = null;
  #round = 0;

  constructor(deps: ContextGaugeDeps) {
    this.#deps = deps;
  }

  /** One for what is written elsewhere, with the same tokenizer. */
  another(): ContextGauge {
    const other = new ContextGauge(this.#deps);
    other.#open = this.#open;
    return other;
  }

  /** Measures what is asked once the writing pauses. */
  look(model: Digest, asking: Asking): void {
    this.#stopTimer?.();
    this.#stopTimer = this.#deps.clock.setTimer(() => void this.measure(model, asking), PAUSE_MS);
  }

  /** Measures now. Never rejects: what cannot be measured is null. */
  async measure(model: Digest, asking: Asking): Promise<ContextFit | null> {
    this.#stopTimer?.();
    const round = ++this.#round;
    let fit: ContextFit | null;
    try {
      fit = fitContext(asking, await this.#meterOf(model));
    } catch {
      fit = null;
    }
    if (round === this.#round) this.fit = fit;
    return fit;
  }

  /** Nothing is being written. */
  clear(): void {
    this.#stopTimer?.();
    this.#round++;
    this.fit = null;
  }

  #meterOf(model: Digest): Promise<PromptMeter> {
    if (this.#open?.model === model) return this.#open.meter;
    const open = { model, meter: this.#deps.openMeter(model) };
    this.#open = open;
    // One that could not be had is asked for again with the next question.
    open.meter.catch(() => {
      if (this.#open === open) this.#open = null;
    });
    return open.meter;
  }
}
