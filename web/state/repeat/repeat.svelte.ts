import type { Clock } from '#shared/clock.ts';
import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { RepeatReport } from '#shared/peer/replay/repeat-answer.ts';
import type { RepeatProgress } from '#shared/peer/replay/repeat-from-servers.ts';
import type { AnswerAtHand } from './answer-at-hand.ts';

/** A receipt that was verified and is to be repeated. */
export interface RepeatSubject {
  readonly id: Digest;
  readonly receipt: unknown;
  readonly atHand: AnswerAtHand;
  /** Bytes of the model's manifest, where they were given. */
  readonly manifest?: Uint8Array<ArrayBuffer>;
}

export interface RepeatRequest extends Omit<RepeatSubject, 'atHand'> {
  readonly atHand: AnswerAtHand & { readonly salt: Uint8Array<ArrayBuffer> };
  /** Address of another server that is asked for the weights; empty where there is none. */
  readonly otherServer: string;
  readonly onProgress: (progress: RepeatProgress) => void;
  readonly signal: AbortSignal;
}

/** Repeats an answer on this device; rejects with a ChorusError. */
export type RepeatHere = (request: RepeatRequest) => Promise<RepeatReport>;

export interface RepeatDeps {
  /** Loads the code for it. */
  readonly load: () => Promise<RepeatHere>;
  /** What this browser has kept of the answer with this receipt; null where it was not asked here. */
  readonly findKept: (receipt: Digest) => Promise<AnswerAtHand | null>;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** An answer that is repeated in this tab, one at a time. It begins with a click and never by itself. */
export class Repeat {
  /** The receipt that all of this is about. */
  id: Digest | null = $state(null);
  /** `missing`: the reader has to give what opens the receipt. */
  status: 'idle' | 'working' | 'missing' | 'done' | 'failed' = $state('idle');
  /** Null while what is needed is looked for. */
  progress: RepeatProgress | null = $state.raw(null);
  report: RepeatReport | null = $state.raw(null);
  tookMs = $state(0);
  error: ChorusError | null = $state.raw(null);
  /** Address of another server that may have the weights. */
  otherServer = $state('');

  readonly #deps: RepeatDeps;
  #work = new AbortController();

  constructor(deps: RepeatDeps) {
    this.#deps = deps;
  }

  /** Shows what is known of another receipt: nothing. What is under way for the one before is stopped. */
  turnTo(id: Digest): void {
    if (id === this.id) return;
    this.#begin();
    this.id = id;
    this.status = 'idle';
  }

  /** Repeats it, for whoever clicked. Never rejects: what goes wrong is in `error`. */
  async start({ id, atHand, ...subject }: RepeatSubject): Promise<void> {
    const work = this.#begin();
    const { signal } = work;
    this.id = id;
    this.status = 'working';
    const startedAtMs = this.#deps.clock.nowMs();
    try {
      const [repeat, opened] = await Promise.all([this.#deps.load(), this.#opened(id, atHand)]);
      if (signal.aborted) return;
      if (opened === null) {
        this.status = 'missing';
        return;
      }
      const onProgress = (progress: RepeatProgress): void => {
        if (!signal.aborted) this.progress = progress;
      };
      const { otherServer } = this;
      const report = await repeat({ id, ...subject, atHand: opened, otherServer, onProgress, signal });
      if (signal.aborted) return;
      this.report = report;
      this.tookMs = this.#deps.clock.nowMs() - startedAtMs;
      this.status = 'done';
    } catch (thrown) {
      if (signal.aborted) return;
      this.error = toChorusError(thrown);
      this.status = 'failed';
    }
  }

  /** Ends what is under way. */
  stop(): void {
    this.#begin();
    this.status = 'idle';
  }

  #begin(): AbortController {
    this.#work.abort();
    this.#work = new AbortController();
    this.progress = null;
    this.report = null;
    this.error = null;
    return this.#work;
  }

  /** What was given goes before what is kept; a salt alone opens nothing. */
  async #opened(id: Digest, given: AnswerAtHand): Promise<RepeatRequest['atHand'] | null> {
    const isWhole = given.tokens !== undefined || (given.prompt !== undefined && given.answer !== undefined);
    const opened = given.salt !== undefined && isWhole ? given : await this.#deps.findKept(id);
    const salt = opened?.salt;
    return salt === undefined ? null : { ...opened, salt };
  }
}
