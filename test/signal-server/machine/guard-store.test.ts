import { beforeEach, describe, expect, it } from 'vitest';
import { guardStore } from '../../../signal-server/machine/guard-store.ts';
import { StorageState, type StorageNews } from '../../../signal-server/machine/storage-state.ts';
import { createMemoryStore } from '../../../signal-server/store/memory/memory-store.ts';
import type { Store } from '../../../signal-server/store/store.ts';

const full = Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });

describe('a store on a disk that fills up', () => {
  let failure: Error | null;
  let news: StorageNews[];
  let storage: StorageState;
  let store: Store;

  beforeEach(() => {
    [failure, news] = [null, []];
    storage = new StorageState('/data/chorus.sqlite', (each) => news.push(each));
    const inner = createMemoryStore();
    const acknowledged: Store['acknowledged'] = {
      read: (origin) => inner.acknowledged.read(origin),
      largest: () => inner.acknowledged.largest(),
      write: (...given) => (failure === null ? inner.acknowledged.write(...given) : Promise.reject(failure)),
    };
    store = guardStore({ ...inner, acknowledged }, storage);
  });

  it('is told of once, with the file, the reason and what to do, and once when that is over', async () => {
    await store.acknowledged.write('log', 1);
    failure = full;
    const refused = {
      code: 'internal',
      message: 'this server keeps nothing now: the disk is full',
      details: { isTold: true },
    };
    for (const size of [2, 3]) await expect(store.acknowledged.write('log', size)).rejects.toMatchObject(refused);
    expect(storage.trouble).toBe('the disk is full');
    failure = null;
    await store.acknowledged.write('log', 4);
    expect([storage.trouble, store.acknowledged.read('log')]).toEqual([null, 4]);
    expect(news.map(({ isOver }) => isOver)).toEqual([false, true]);
    expect(news[0]!.message).toMatch(
      /^the disk is full: \/data\/chorus\.sqlite cannot be written \(SQLITE_FULL: database or disk is full\)\. Make room/,
    );
  });

  it('tells of another trouble by its own name, and of a fault that is not the disk’s nothing', async () => {
    failure = full;
    await expect(store.acknowledged.write('log', 1)).rejects.toThrow('the disk is full');
    failure = Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR_WRITE' });
    await expect(store.acknowledged.write('log', 1)).rejects.toThrow('the disk fails');
    failure = Object.assign(new Error('UNIQUE constraint failed'), { code: 'SQLITE_CONSTRAINT' });
    await expect(store.acknowledged.write('log', 1)).rejects.toBe(failure);
    expect(news).toHaveLength(2);
  });

  it('still answers what is asked', () => {
    expect([store.history.totals.finished, store.trust.faults(3)]).toEqual([0, []]);
  });
});
