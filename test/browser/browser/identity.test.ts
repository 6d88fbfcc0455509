import { deleteDB, openDB } from 'idb';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { generateKeyPair, verifySignature } from '#shared/crypto/web-crypto.ts';
import { openIdentity, type PageIdentity } from '../../../web/browser/identity.ts';
import type { StorageFault } from '../../../web/browser/not-kept.ts';
import { StorageHealth } from '../../../web/browser/storage-health.ts';
import { FakeClock, untilSettled } from '../../support/fake-clock.ts';

const DATABASE = 'chorus-identity';
let faults: StorageFault[] = [];
const open: PageIdentity[] = [];

async function visit(clock = new FakeClock()): Promise<PageIdentity> {
  const onNotKept = (fault: StorageFault) => faults.push(fault);
  const page = await openIdentity({ health: new StorageHealth(), onNotKept, clock });
  open.push(page);
  return page;
}
/** Locks are given back a moment after their holder lets go. */
async function leave(page: PageIdentity): Promise<void> {
  page.release();
  await navigator.locks.request(`identity-${page.slot ?? 0}`, () => undefined);
}

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(open.splice(0).map(leave));
  faults = [];
});

/** True for a key that signs for its public key. */
async function signs({ identity }: PageIdentity): Promise<boolean> {
  const message = utf8('hello');
  return verifySignature(identity.publicKey, message, await identity.sign(message));
}

it('a tab finds the key of its last visit', async () => {
  const first = await visit();
  await leave(first);
  const second = await visit();
  expect(second.identity.id).toBe(first.identity.id);
  expect([second.slot, faults]).toEqual([first.slot, []]);
});

it('two tabs at once have two keys, and each finds its own again', async () => {
  const [one, two] = [await visit(), await visit()];
  expect(one.identity.id).not.toBe(two.identity.id);
  await leave(two);
  expect((await visit()).identity.id).toBe(two.identity.id);
});

it('the key that comes from storage signs', async () => {
  await leave(await visit());
  expect(await signs(await visit())).toBe(true);
});

it('a stored key that is of no use is replaced', async () => {
  const first = await visit();
  await leave(first);
  const database = await openDB(DATABASE, 1);
  const stored = (await database.get('keys', 0)) as CryptoKeyPair;
  const other = await generateKeyPair();
  for (const spoilt of [{ ...stored, publicKey: other.publicKey }, { ...stored, privateKey: {} }, 'no key']) {
    await database.put('keys', spoilt, 0);
    const page = await visit();
    expect([await signs(page), page.slot]).toEqual([true, 0]);
    await leave(page);
    const again = await visit();
    expect(again.identity.id).toBe(page.identity.id);
    await leave(again);
  }
  database.close();
});

describe('a key for this visit alone, which is told,', () => {
  const refused = (name: string) => () => {
    throw new DOMException('the browser’s own words', name);
  };
  it('is what a tab has whose stored key cannot be read, and that stays for another visit', async () => {
    const before = await visit();
    await leave(before);
    vi.spyOn(IDBObjectStore.prototype, 'get').mockImplementation(refused('UnknownError'));
    const page = await visit();
    expect([page.slot, faults]).toEqual([null, ['failed']]);
    vi.restoreAllMocks();
    await leave(page);
    expect((await visit()).identity.id).toBe(before.identity.id);
  });

  it.each<[string, () => void, StorageFault]>([
    [
      'it cannot store keys',
      () => vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(refused('DataCloneError')),
      'failed',
    ],
    [
      'storage is denied',
      () => vi.spyOn(IDBFactory.prototype, 'open').mockImplementation(refused('SecurityError')),
      'denied',
    ],
    [
      'locks are denied',
      () => vi.spyOn(LockManager.prototype, 'request').mockImplementation(refused('SecurityError')),
      'denied',
    ],
    [
      'there are no locks',
      () => vi.spyOn(Navigator.prototype, 'locks', 'get').mockReturnValue(undefined as never),
      'failed',
    ],
    [
      'locks never answer',
      () => vi.spyOn(LockManager.prototype, 'request').mockReturnValue(new Promise(() => undefined)),
      'silent',
    ],
  ])('is what a tab has where %s', async (_, spoil, fault) => {
    await deleteDB(DATABASE);
    spoil();
    const clock = new FakeClock();
    const visiting = visit(clock);
    // What fails by itself needs no time.
    if (fault === 'silent') await untilSettled(visiting, clock);
    const page = await visiting;
    expect([page.slot, faults, await signs(page)]).toEqual([null, [fault], true]);
    expect(clock.nowMs()).toBeLessThanOrEqual(2_000);
  });
});
