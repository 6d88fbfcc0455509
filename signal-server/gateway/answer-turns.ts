import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { FairQueue } from './fair-queue.ts';

/** Answers of one model that look for volunteers at once: few, so that those of other clients are soon next. */
const SEEKING = 2;
const WAITING = { waiting: 512, waitingOfOne: 128 };

export interface AnswerTurn {
  /** Aborts as the signal of `enter`, and with `all-busy` where no volunteers were found in time. */
  readonly signal: AbortSignal;
  /** To be called once volunteers are found. */
  routed(): void;
  /** To be called when the answer is over, however it ended. */
  leave(): void;
}

export interface AnswerTurnsOptions {
  readonly clock: Clock;
  /** Answers that may be made at once, for all clients; one client has at most half of them. */
  readonly answers: number;
  /** How long an answer waits for its turn and for volunteers. */
  readonly waitMs: number;
}

/** Whose turn it is among clients that ask at once: to have prompts read, to look for volunteers, and to be answered. */
export class AnswerTurns {
  readonly #options: AnswerTurnsOptions;
  readonly #reading = new FairQueue({ most: 1, mostOfOne: 1, ...WAITING });
  readonly #answering: FairQueue;
  readonly #seeking = new Map<Digest, FairQueue>();

  constructor(options: AnswerTurnsOptions) {
    this.#options = options;
    const { answers } = options;
    this.#answering = new FairQueue({ most: answers, mostOfOne: Math.ceil(answers / 2), ...WAITING });
  }

  /** Has something read in this client's turn. Rejects as `FairQueue.enter` and `read` do. */
  async read<Value>(client: string, signal: AbortSignal, read: () => Promise<Value>): Promise<Value> {
    const leave = await this.#reading.enter(client, signal);
    try {
      return await read();
    } finally {
      leave();
    }
  }

  /** This client's turn to ask a model. Rejects as `FairQueue.enter` does, and with `all-busy` after too long a wait. */
  async enter(client: string, model: Digest, signal: AbortSignal): Promise<AnswerTurn> {
    const { clock, waitMs } = this.#options;
    const late = new AbortController();
    const stopWaiting = clock.setTimer(() => {
      const message = `no volunteers became free within ${waitMs / 1000} s; try again in a while`;
      late.abort(new ChorusError('all-busy', message));
    }, waitMs);
    const either = AbortSignal.any([signal, late.signal]);
    let leaveAnswering = (): void => {};
    try {
      leaveAnswering = await this.#answering.enter(client, either);
      const leaveSeeking = await this.#enterSeeking(client, model, either);
      const routed = (): void => {
        stopWaiting();
        leaveSeeking();
      };
      const leave = (): void => {
        routed();
        leaveAnswering();
      };
      return { signal: either, routed, leave };
    } catch (error) {
      stopWaiting();
      leaveAnswering();
      throw error;
    }
  }

  async #enterSeeking(client: string, model: Digest, signal: AbortSignal): Promise<() => void> {
    const queue = this.#seeking.get(model) ?? new FairQueue({ most: SEEKING, mostOfOne: SEEKING, ...WAITING });
    this.#seeking.set(model, queue);
    const forget = (): void => {
      if (queue.isIdle && this.#seeking.get(model) === queue) this.#seeking.delete(model);
    };
    try {
      const leave = await queue.enter(client, signal);
      return () => {
        leave();
        forget();
      };
    } catch (error) {
      forget();
      throw error;
    }
  }
}
