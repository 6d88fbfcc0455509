import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest, SessionId } from '#shared/ids.ts';
import type { ReceiptStore } from '../../../signal-server/receipts/receipt-store.ts';
import { WriteGroup } from '../../../signal-server/receipts/write-group.ts';
import { openStore, type Store } from '../../../signal-server/store/store.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';

const session = '0123456789abcdef0123456789abcdef' as SessionId;
let folder: string;
let store: Store;
let receipts: ReceiptStore;
/** How many writes each transaction had. */
let groups: number[];
let group: WriteGroup;

beforeEach(async () => {
  folder = await newFolder();
  store = openStore(join(folder, 'chorus.sqlite'));
  receipts = store.receipts;
  groups = [];
  group = new WriteGroup((writes) => {
    groups.push(writes.length);
    receipts.inOne(writes);
  });
});
afterEach(async () => {
  store.close();
  await removeFolder(folder);
});

const idOf = (number: number): Digest => number.toString(16).padStart(64, '0') as Digest;
const begin = (number: number) => (): void =>
  receipts.begin({
    ...{ id: idOf(number), session, log: 'log', logSize: number, atMs: 0 },
    envelope: { payloadType: 'x', payload: '', signatures: [] },
  });

describe('writes that come together', () => {
  it('reach the disk in one transaction, those that come later in the next', async () => {
    await Promise.all([0, 1, 2].map((number) => group.add(begin(number))));
    expect(receipts.countOf(session)).toBe(3);
    await group.add(begin(3));
    expect(receipts.pending().map(({ id }) => id)).toEqual([0, 1, 2, 3].map(idOf));
    expect(groups).toEqual([3, 1]);
  });

  it('are made in the order in which they came', async () => {
    await Promise.all([group.add(begin(0)), group.add(() => receipts.confirm(idOf(0), 7))]);
    expect(receipts.get(idOf(0), 'log')).toMatchObject({ index: 7 });
  });

  it('are all of them or none, and the next ones are made all the same', async () => {
    const failure = new Error('the disk is full');
    const fail = (): void => {
      throw failure;
    };
    const outcomes = await Promise.allSettled([group.add(begin(0)), group.add(fail), group.add(begin(1))]);
    expect(outcomes).toEqual(Array.from({ length: 3 }, () => ({ status: 'rejected', reason: failure })));
    expect(receipts.countOf(session)).toBe(0);
    await group.add(begin(2));
    expect(receipts.countOf(session)).toBe(1);
  });

  it('are not made before somebody waits for them', async () => {
    const added = group.add(begin(0));
    expect(receipts.countOf(session)).toBe(0);
    await added;
    expect(receipts.countOf(session)).toBe(1);
  });
});
