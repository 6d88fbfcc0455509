import { deleteDB, openDB } from 'idb';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { KeptDatabase } from '../../../web/browser/kept-database.ts';
import { KeptRecords } from '../../../web/browser/kept-records.ts';
import type { StorageFault } from '../../../web/browser/not-kept.ts';
import { StorageHealth } from '../../../web/browser/storage-health.ts';
import { FakeClock, untilSettled } from '../../support/fake-clock.ts';

const DATABASE = 'test-kept';
const closers: { close(): void }[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const kept of closers.splice(0)) kept.close();
  await deleteDB(DATABASE);
});

function open(health = new StorageHealth()) {
  const faults: StorageFault[] = [];
  const clock = new FakeClock();
  const records = new KeptRecords<string, unknown>({
    database: DATABASE,
    store: 'things',
    parse: (stored) => {
      if (stored === 'unfit') throw new TypeError('unfit');
      return stored;
    },
    onNotKept: (fault) => faults.push(fault),
    health,
    clock,
  });
  closers.push(records);
  return { records, faults, clock };
}

/** An open that never settles, as where the process behind it hangs. */
function neverOpens(): void {
  const silent = Object.create(IDBOpenDBRequest.prototype, {
    addEventListener: { value: () => undefined },
    removeEventListener: { value: () => undefined },
  }) as IDBOpenDBRequest;
  vi.spyOn(IDBFactory.prototype, 'open').mockReturnValue(silent);
}

const throwing = (name: string) => () => {
  throw new DOMException('the browser’s own words', name);
};

describe('records that the browser keeps', () => {
  it('are there at the next visit, until they are deleted', async () => {
    const first = open();
    expect(await first.records.put('a', { n: 1 })).toBe(true);
    await first.records.put('b', { n: 2 });
    const { records, faults } = open();
    expect(await records.get('a')).toEqual({ n: 1 });
    expect([...(await records.all())]).toEqual([
      ['a', { n: 1 }],
      ['b', { n: 2 }],
    ]);
    await records.delete('a');
    expect(await records.get('a')).toBeNull();
    expect(faults).toEqual([]);
  });

  it('count as absent where they are unfit, beside others that are not', async () => {
    const { records } = open();
    await records.put('a', 'unfit');
    await records.put('b', 'fit');
    expect(await records.get('a')).toBeNull();
    expect([...(await records.all()).keys()]).toEqual(['b']);
  });
});

describe('records that the browser does not keep', () => {
  const faulty: [string, () => void, StorageFault][] = [
    [
      'it denies storage',
      () => vi.spyOn(IDBFactory.prototype, 'open').mockImplementation(throwing('SecurityError')),
      'denied',
    ],
    [
      'its room is used up',
      () => vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(throwing('QuotaExceededError')),
      'full',
    ],
    [
      'writing fails',
      () => vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(throwing('UnknownError')),
      'failed',
    ],
    ['it never opens', neverOpens, 'silent'],
  ];
  it.each(faulty)('last as long as the page where %s, which is told once', async (_, spoil, fault) => {
    spoil();
    const { records, faults, clock } = open();
    const put = records.put('a', 1);
    // What fails by itself needs no time.
    if (fault === 'silent') await untilSettled(put, clock);
    expect(await put).toBe(false);
    expect(clock.nowMs()).toBeLessThanOrEqual(2_000);
    expect(await records.put('b', 2)).toBe(false);
    expect(await records.get('a')).toBe(1);
    expect([...(await records.all()).values()]).toEqual([1, 2]);
    await records.delete('a');
    expect(await records.get('a')).toBeNull();
    expect(faults).toEqual([fault]);
  });

  it('are one by one: what cannot be cloned is in memory, the rest on the device', async () => {
    const { records, faults } = open();
    const uncloneable = { run: () => undefined };
    expect(await records.put('a', uncloneable)).toBe(false);
    expect(await records.put('b', 2)).toBe(true);
    expect(await records.get('a')).toBe(uncloneable);
    expect(faults).toEqual(['failed']);
    expect([...(await open().records.all()).keys()]).toEqual(['b']);
  });

  it('do not come back where they could not be deleted', async () => {
    const { records } = open();
    await records.put('a', 1);
    vi.spyOn(IDBObjectStore.prototype, 'delete').mockImplementation(throwing('UnknownError'));
    await records.delete('a');
    expect(await records.get('a')).toBeNull();
    expect((await records.all()).size).toBe(0);
  });

  it('cost the wait for a silent storage once for the whole page', async () => {
    neverOpens();
    const health = new StorageHealth();
    const first = open(health);
    await untilSettled(first.records.put('a', 1), first.clock);
    const second = open(health);
    expect(await second.records.put('a', 1)).toBe(false);
    expect([second.clock.nowMs(), second.faults]).toEqual([0, ['silent']]);
  });
});

describe('a database', () => {
  const make = () => {
    const database = new KeptDatabase({
      name: DATABASE,
      version: 1,
      upgrade: (db) => void db.createObjectStore('things'),
    });
    closers.push(database);
    return database;
  };
  const write = (database: KeptDatabase) => database.run((db) => db.put('things', 1, 'a'));
  const read = (database: KeptDatabase) => database.run<unknown>((db) => db.get('things', 'a'));

  it('is opened again after its connection was closed', async () => {
    const database = make();
    await write(database);
    await database.run((db) => Promise.resolve(db.close()));
    expect(await read(database)).toBe(1);
  });

  it('is read on a fresh connection where the first one fails', async () => {
    const database = make();
    await write(database);
    vi.spyOn(IDBObjectStore.prototype, 'get').mockImplementationOnce(throwing('UnknownError'));
    expect(await read(database)).toBe(1);
  });

  it('is let go of where another tab wants to delete it, and begun anew', async () => {
    const database = make();
    await write(database);
    await deleteDB(DATABASE);
    expect(await read(database)).toBeUndefined();
    await write(database);
    expect(await read(database)).toBe(1);
  });

  it('is let go of where another tab has a newer version of it, and then given up', async () => {
    const database = make();
    await write(database);
    (await openDB(DATABASE, 2)).close();
    await expect(read(database)).rejects.toMatchObject({ fault: 'failed' });
  });
});
