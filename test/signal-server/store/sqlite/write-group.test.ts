import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeLocked, openLocked } from '../../../../signal-server/store/sqlite/locked-database.ts';
import { WriteGroup } from '../../../../signal-server/store/sqlite/write-group.ts';
import { newFolder, removeFolder } from '../../../support/log-stand.ts';

let folder: string;
let database: Database.Database;
let group: WriteGroup;

beforeEach(async () => {
  folder = await newFolder();
  database = openLocked(join(folder, 'test.sqlite'), (opened) => opened.exec('CREATE TABLE numbers (number INTEGER)'));
  group = new WriteGroup(database);
});
afterEach(async () => {
  closeLocked(database);
  await removeFolder(folder);
});

const put = (number: number) => (): number => {
  database.prepare('INSERT INTO numbers VALUES (?)').run(number);
  return number;
};
const numbersIn = (read: Database.Database): number[] =>
  (read.prepare('SELECT number FROM numbers ORDER BY rowid').all() as { number: number }[]).map(({ number }) => number);
const numbers = (): number[] => numbersIn(database);

/** The numbers that another process would find, if this one ended now. */
async function onDisk(): Promise<number[]> {
  const copy = await newFolder();
  await cp(folder, copy, { recursive: true });
  const read = new Database(join(copy, 'test.sqlite'));
  const found = numbersIn(read);
  read.close();
  await removeFolder(copy);
  return found;
}

describe('writes that come together', () => {
  it('are made and read at once, in the order in which they come, and answer for themselves', async () => {
    const added = [0, 1, 2].map((number) => group.add(put(number)));
    expect(numbers()).toEqual([0, 1, 2]);
    expect(await Promise.all(added)).toEqual([0, 1, 2]);
    expect(await group.add(put(3))).toBe(3);
    expect(numbers()).toEqual([0, 1, 2, 3]);
  });

  it('reach the disk in one transaction, those that come later in the next', async () => {
    const transactions: string[] = [];
    const { exec } = database;
    database.exec = (sql) => {
      transactions.push(sql);
      return exec.call(database, sql);
    };
    await Promise.all([0, 1, 2].map((number) => group.add(put(number))));
    await group.add(put(3));
    expect(transactions).toEqual(['BEGIN IMMEDIATE', 'COMMIT', 'BEGIN IMMEDIATE', 'COMMIT']);
  });

  it('are on the disk once they are confirmed', async () => {
    await group.add(put(0));
    expect(await onDisk()).toEqual([0]);
    await Promise.all([group.add(put(1)), group.add(put(2))]);
    expect(await onDisk()).toEqual([0, 1, 2]);
  });

  it('do not fail by the fault of one of them, whatever it wrote before', async () => {
    const failure = new Error('it cannot be made');
    const fail = (): void => {
      put(7)();
      throw failure;
    };
    let forgotten = 0;
    group.onUndone(() => (forgotten += 1));
    const added = [group.add(put(0)), group.add(fail), group.add(put(1))];
    expect([numbers(), forgotten]).toEqual([[], 1]);
    expect(await Promise.allSettled(added)).toEqual([
      { status: 'fulfilled', value: 0 },
      { status: 'rejected', reason: failure },
      { status: 'fulfilled', value: 1 },
    ]);
    await group.add(put(2));
    expect(await onDisk()).toEqual([0, 1, 2]);
  });

  it('are made one by one where the disk does not take them together', async () => {
    const { exec } = database;
    let commits = 0;
    database.exec = (sql) => {
      if (sql === 'COMMIT' && ++commits === 1) throw new Error('the disk is full');
      return exec.call(database, sql);
    };
    expect(await Promise.all([group.add(put(0)), group.add(put(1))])).toEqual([0, 1]);
    expect([await onDisk(), commits]).toEqual([[0, 1], 3]);
  });

  it('are undone where the disk takes nothing, even where nothing can be read or rolled back', async () => {
    const failure = new Error('the disk is gone');
    const { exec } = database;
    let forgotten = 0;
    group.onUndone(() => (forgotten += 1));
    const refuse =
      (...refused: string[]) =>
      (sql: string) => {
        if (refused.includes(sql)) throw failure;
        return exec.call(database, sql);
      };
    database.exec = refuse('COMMIT');
    await expect(group.add(put(0))).rejects.toBe(failure);
    expect([numbers(), forgotten]).toEqual([[], 2]);
    database.exec = refuse('COMMIT', 'ROLLBACK');
    const lost = await Promise.allSettled([group.add(put(1)), group.add(put(2))]);
    expect(lost.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    database.exec = exec;
    exec.call(database, 'ROLLBACK');
    await group.add(put(3));
    expect(await onDisk()).toEqual([3]);
  });

  it('reach the disk at once where that is asked for', async () => {
    let isConfirmed = false;
    const added = group.add(put(0)).then(() => (isConfirmed = true));
    group.flush();
    await added;
    expect([isConfirmed, numbers()]).toEqual([true, [0]]);
    group.flush();
    await group.add(put(1));
    expect(numbers()).toEqual([0, 1]);
  });
});
