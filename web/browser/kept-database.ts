import { openDB, type IDBPDatabase, type OpenDBCallbacks } from 'idb';
import type { Clock } from '#shared/clock.ts';
import { pageClock } from './page-clock.ts';

/** Why the browser keeps something no longer than the page: it refuses, has no room, does not answer, or fails. */
export type StorageFault = 'denied' | 'full' | 'silent' | 'failed';

/** What was to be kept is not, or cannot be read. Nobody who asks or lends needs it to be. */
export class NotKept extends Error {
  readonly fault: StorageFault;

  constructor(fault: StorageFault, cause?: unknown) {
    super(`not kept: ${fault}`, { cause });
    this.name = 'NotKept';
    this.fault = fault;
  }
}

export interface KeptDatabaseOptions<Schema> {
  readonly name: string;
  readonly version: number;
  readonly upgrade: NonNullable<OpenDBCallbacks<Schema>['upgrade']>;
  readonly clock?: Clock | undefined;
}

/** Counting ticks, not time, forgives a stall of this page. */
const TICK_MS = 1_000;
/** Ticks in which nothing that was asked of a database ends before it is given up. */
const MAX_SILENT_TICKS = 2;

/** The fault is in what was to be written: another connection does not cure it. */
const OF_THE_VALUE = new Set(['QuotaExceededError', 'DataCloneError', 'ConstraintError', 'DataError']);

/**
 * An IndexedDB database that may be denied, silent, closed by the browser or wanted by another tab. It is opened when it is
 * first used, and again after a connection was lost. One that cannot be opened, or is silent for 2 s, is given up until
 * the page is loaded again.
 */
export class KeptDatabase<Schema = unknown> {
  readonly name: string;
  readonly #options: KeptDatabaseOptions<Schema>;
  readonly #clock: Clock;
  #connection: Promise<IDBPDatabase<Schema>> | null = null;
  #givenUp: NotKept | null = null;
  /** Steps that ended so far, well or not. */
  #ended = 0;

  constructor(options: KeptDatabaseOptions<Schema>) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? pageClock();
  }

  /** The outcome of `work`, which may be begun twice. Rejects with `NotKept` alone, at the latest after 2 s of silence. */
  async run<Result>(work: (database: IDBPDatabase<Schema>) => Promise<Result>): Promise<Result> {
    if (this.#givenUp !== null) throw this.#givenUp;
    try {
      return await this.#unlessSilent(this.#attempt(work));
    } catch (thrown) {
      throw toNotKept(thrown);
    }
  }

  close(): void {
    this.#giveUp(new NotKept('failed', 'closed by this page'));
  }

  async #attempt<Result>(work: (database: IDBPDatabase<Schema>) => Promise<Result>): Promise<Result> {
    const connection = this.#open();
    try {
      return await this.#step(connection.then(work));
    } catch (error) {
      if (this.#givenUp !== null || OF_THE_VALUE.has(nameOf(error))) throw error;
      // Browsers close connections and lose the process behind them; a fresh one then works.
      this.#drop(connection);
      const again = this.#open();
      await again.catch((refused: unknown) => this.#giveUp(toNotKept(refused)));
      return await this.#step(again.then(work));
    }
  }

  #open(): Promise<IDBPDatabase<Schema>> {
    if (this.#connection !== null) return this.#connection;
    const { name, version, upgrade } = this.#options;
    const drop = (): void => this.#drop(connection);
    // What `openDB` throws at once is a refusal like any other.
    const connection = this.#step(
      Promise.resolve().then(() => openDB<Schema>(name, version, { upgrade, blocking: drop, terminated: drop })),
    );
    this.#connection = connection;
    return connection;
  }

  #drop(connection: Promise<IDBPDatabase<Schema>>): void {
    if (this.#connection === connection) this.#connection = null;
    connection.then(
      (database) => database.close(),
      () => undefined,
    );
  }

  #giveUp(reason: NotKept): void {
    this.#givenUp ??= reason;
    if (this.#connection !== null) this.#drop(this.#connection);
  }

  async #step<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } finally {
      this.#ended++;
    }
  }

  #unlessSilent<Result>(work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      let ended = this.#ended;
      let silentTicks = 0;
      const tick = (): void => {
        silentTicks = this.#ended === ended ? silentTicks + 1 : 0;
        ended = this.#ended;
        if (silentTicks < MAX_SILENT_TICKS) {
          stopTimer = this.#clock.setTimer(tick, TICK_MS);
          return;
        }
        const silent = new NotKept('silent');
        this.#giveUp(silent);
        reject(silent);
      };
      let stopTimer = this.#clock.setTimer(tick, TICK_MS);
      work.then(resolve, reject).finally(() => stopTimer());
    });
  }
}

function toNotKept(thrown: unknown): NotKept {
  if (thrown instanceof NotKept) return thrown;
  const name = nameOf(thrown);
  if (name === 'QuotaExceededError') return new NotKept('full', thrown);
  return new NotKept(name === 'SecurityError' ? 'denied' : 'failed', thrown);
}

/** Not every browser still throws a DOMException. */
function nameOf(thrown: unknown): string {
  return thrown instanceof Error || thrown instanceof DOMException ? thrown.name : '';
}
