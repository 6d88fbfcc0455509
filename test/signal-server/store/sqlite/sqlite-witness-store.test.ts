import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqliteWitnessStore } from '../../../../signal-server/store/sqlite/sqlite-witness-store.ts';
import type { WitnessStore } from '../../../../signal-server/store/witness-store.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { newFolder, removeFolder } from '../../../support/log-stand.ts';

const origin = 'log.example';

describe('what a witness must not forget, in SQLite', () => {
  let folder: string;
  let store: WitnessStore;
  beforeEach(async () => {
    folder = await newFolder();
    store = await openSqliteWitnessStore(folder);
  });
  afterEach(async () => {
    await store.close();
    await removeFolder(folder);
  });

  it('is not opened twice at once', async () => {
    expect(await codeOfAsync(openSqliteWitnessStore(folder))).toBe('internal');
  });

  it('is not shown before it is on the disk', async () => {
    const named = store.nameItself('witness.example');
    const advanced = store.advance(origin, null, 'first');
    expect([store.name, store.note(origin)]).toEqual([null, null]);
    expect(await Promise.all([named, advanced])).toEqual([true, true]);
    expect([store.name, store.note(origin)]).toEqual(['witness.example', 'first']);
  });
});
