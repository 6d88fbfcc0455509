import { openDB, type IDBPDatabase, type OpenDBCallbacks } from 'idb';
import type { Clock } from '#shared/clock.ts';
import { NotKept, nameOf, toNotKept } from './not-kept.ts';
import { pageClock } from './page-clock.ts';
import { StorageHealth } from './storage-health.ts';
import { unlessSilent } from './unless-silent.ts';

export interface KeptDatabaseOptions<Schema> {
  readonly name: string;
  readonly version: number;
  readonly upgrade: NonNullable<OpenDBCallbacks<Schema>['upgrade']>;
  /** Of the page, which has one for all; one of its own if left out. */
  readonly health?: StorageHealth | undefined;
  readonly clock?: Clock | undefined;
}

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
  readonly #health: StorageHealth;
  readonly #clock: Clock;
  #connection: Promise<IDBPDatabase<Schema>> | null = null;
  #givenUp: NotKept | null = null;
  /** Steps that ended so far, well or not. */
  #ended = 0;

  constructor(options: KeptDatabaseOptions<Schema>) {
    this.name = options.name;
    this.#options = options;
    this.#health = options.health ?? new StorageHealth();
    this.#clock = options.clock ?? pageClock();
  }

  /** The outcome of `work`, which may be begun twice. Rejects with `NotKept` alone, at the latest after 2 s of silence. */
  async run<Result>(work: (database: IDBPDatabase<Schema>) => Promise<Result>): Promise<Result> {
    const givenUp = this.#givenUp ?? this.#health.silence;
    if (givenUp !== null) throw givenUp;
    try {
      return await unlessSilent(this.#attempt(work), this.#clock, () => this.#ended);
    } catch (thrown) {
      const reason = toNotKept(thrown);
      if (reason.fault === 'silent') {
        this.#health.silence ??= reason;
        this.#giveUp(reason);
      }
      throw reason;
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
    connection.catch(drop);
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
}
