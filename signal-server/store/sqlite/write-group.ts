import { setImmediate } from 'node:timers';
import type Database from 'libsql';
import { ChorusError } from '#shared/errors.ts';

interface Waiting {
  /** Makes the write. */
  readonly write: () => void;
  readonly confirm: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Writes of one turn of the event loop are one transaction, so that many that wait share one wait for the disk. They are
 * made at once, in the order in which they come, and reads of the same database see them; at the end of the turn they
 * reach the disk. Where one of them fails, or the disk, all are undone and made again one by one, each in a transaction
 * of its own, so that no write fails by another's fault.
 */
export class WriteGroup {
  readonly #database: Database.Database;
  readonly #forget: (() => void)[] = [];
  #waiting: Waiting[] = [];
  #isUndone = false;
  #isClosed = false;

  constructor(database: Database.Database) {
    this.#database = database;
  }

  /** Resolves once the write has reached the disk. Rejects with the reason why it cannot be made, or did not reach it. */
  add<Outcome>(write: () => Outcome): Promise<Outcome> {
    // The package ends the process of whoever uses a closed database.
    if (this.#isClosed)
      return Promise.reject(new ChorusError('internal', 'the store is closed: it takes nothing more'));
    return new Promise((resolve, reject) => {
      let outcome: Outcome;
      const isFirst = this.#waiting.length === 0;
      const waiting = { write: () => void (outcome = write()), confirm: () => resolve(outcome), reject };
      this.#waiting.push(waiting);
      if (isFirst) setImmediate(() => this.flush());
      if (this.#isUndone) return;
      try {
        if (isFirst) this.#database.exec('BEGIN IMMEDIATE');
        waiting.write();
      } catch {
        this.#isUndone = true;
        this.#undo();
      }
    });
  }

  /** `forget` is called when writes that reads have seen are undone. It must not throw. */
  onUndone(forget: () => void): void {
    this.#forget.push(forget);
  }

  /** Ends the group now. */
  flush(): void {
    const group = this.#waiting;
    if (group.length === 0) return;
    const isUndone = this.#isUndone || !this.#isCommitted();
    [this.#waiting, this.#isUndone] = [[], false];
    for (const waiting of group) {
      if (isUndone) this.#makeAlone(waiting);
      else waiting.confirm();
    }
  }

  /** Ends the last group; writes after it are rejected. False where it is closed already. */
  close(): boolean {
    if (this.#isClosed) return false;
    this.flush();
    this.#isClosed = true;
    return true;
  }

  #isCommitted(): boolean {
    try {
      this.#database.exec('COMMIT');
      return true;
    } catch {
      this.#undo();
      return false;
    }
  }

  #makeAlone({ write, confirm, reject }: Waiting): void {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      write();
      this.#database.exec('COMMIT');
    } catch (reason) {
      this.#undo();
      return reject(reason);
    }
    confirm();
  }

  #undo(): void {
    try {
      // Some failures of the disk have undone it already.
      if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
    } catch {
      // The next write cannot begin then, and says why.
    }
    for (const forget of this.#forget) forget();
  }
}
