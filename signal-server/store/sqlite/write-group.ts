import { setImmediate } from 'node:timers';
import type Database from 'libsql';
import { ChorusError } from '#shared/errors.ts';

interface Waiting {
  readonly confirm: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Writes of one turn of the event loop are one transaction, so that many that wait share one wait for the disk. They are
 * made at once, in the order in which they come, and reads of the same database see them; at the end of the turn they
 * reach the disk, all of them or none.
 */
export class WriteGroup {
  readonly #database: Database.Database;
  readonly #forget: (() => void)[] = [];
  #waiting: Waiting[] = [];
  #failure: { readonly reason: unknown } | null = null;
  #isClosed = false;

  constructor(database: Database.Database) {
    this.#database = database;
  }

  /** Resolves once the write has reached the disk. Rejects with what it threw, or another of its group. */
  add<Outcome>(write: () => Outcome): Promise<Outcome> {
    // The package ends the process of whoever uses a closed database.
    if (this.#isClosed)
      return Promise.reject(new ChorusError('internal', 'the store is closed: it takes nothing more'));
    return new Promise((resolve, reject) => {
      const isFirst = this.#waiting.length === 0;
      const waiting = { confirm: (): void => undefined, reject };
      this.#waiting.push(waiting);
      if (isFirst) setImmediate(() => this.flush());
      if (this.#failure !== null) return;
      try {
        if (isFirst) this.#database.exec('BEGIN IMMEDIATE');
        const outcome = write();
        waiting.confirm = () => resolve(outcome);
      } catch (reason) {
        this.#undo(reason);
      }
    });
  }

  /** `forget` is called when writes that reads have seen are undone. */
  onUndone(forget: () => void): void {
    this.#forget.push(forget);
  }

  /** Ends the group now. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    if (this.#failure === null) {
      try {
        this.#database.exec('COMMIT');
      } catch (reason) {
        this.#undo(reason);
      }
    }
    const [group, failure] = [this.#waiting, this.#failure];
    [this.#waiting, this.#failure] = [[], null];
    for (const { confirm, reject } of group) {
      if (failure === null) confirm();
      else reject(failure.reason);
    }
  }

  /** Ends the last group; writes after it are rejected. False where it is closed already. */
  close(): boolean {
    if (this.#isClosed) return false;
    this.flush();
    this.#isClosed = true;
    return true;
  }

  #undo(reason: unknown): void {
    this.#failure = { reason };
    // Some failures of the disk have undone it already.
    if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
    for (const forget of this.#forget) forget();
  }
}
