import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { DrawCount } from '#shared/draw/draw-form.ts';
import { drawsEntryBytes, MAX_DRAWS_PER_ENTRY, type LoggedDraw } from '#shared/draw/draw-log.ts';
import type { DrawRequest } from '#shared/draw/draw-request.ts';
import type { PeerId } from '#shared/ids.ts';
import type { LogService } from '../log/log-service.ts';
import { RequestCounts } from './networks.ts';

/** Requests that wait to be logged; beyond, nothing is drawn that the log would not show. */
const MAX_WAITING = 4_096;

export interface DrawLedgerDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly log: Pick<LogService, 'append'>;
  readonly onError: (error: unknown) => void;
}

/** Counts the requests of each network and puts every one into the log, whatever became of it. */
export class DrawLedger {
  readonly #deps: DrawLedgerDeps;
  readonly #counts: RequestCounts;
  #waiting: LoggedDraw[] = [];
  #writing: Promise<void> | null = null;

  constructor(deps: DrawLedgerDeps) {
    this.#deps = deps;
    this.#counts = new RequestCounts(deps.clock, deps.random);
  }

  /** True while so many wait for the log that no more are taken. */
  get isFull(): boolean {
    return this.#waiting.length >= MAX_WAITING;
  }

  /** The number of a request that is answered now. */
  count(prefix: string): DrawCount {
    return this.#counts.next(prefix);
  }

  note(
    count: DrawCount,
    requester: PeerId,
    { series, number, nonce }: Pick<DrawRequest, 'series' | 'number' | 'nonce'>,
    outcome: LoggedDraw['outcome'],
  ): void {
    this.#waiting.push({ count, requester, series, number, nonce, outcome });
  }

  /** Writes what waits. To be called every few seconds, and before the server stops. */
  write(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => (this.#writing = null));
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, MAX_DRAWS_PER_ENTRY);
      try {
        await this.#deps.log.append(drawsEntryBytes(batch));
      } catch (error) {
        // The log says itself what ails it; they wait until it takes entries again.
        this.#deps.onError(error);
        return;
      }
      this.#waiting = this.#waiting.slice(batch.length);
    }
  }
}
