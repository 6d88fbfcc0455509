import { chmod, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { openDataFolder } from '../../../signal-server/machine/data-folder.ts';
import { openSqliteStore } from '../../../signal-server/store/sqlite/sqlite-store.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';

let path: string;
beforeEach(async () => {
  path = await newFolder();
});
afterEach(() => removeFolder(path));

it('leaves no draft of a manifest that cannot be put in its place', async () => {
  const folder = await openDataFolder(path);
  const digest = 'a'.repeat(64) as Digest;
  await mkdir(join(path, 'models', `${digest}.json`));
  await expect(folder.writeModel(digest, {} as never)).rejects.toThrow('EISDIR');
  expect(await readdir(join(path, 'models'))).toEqual([`${digest}.json`]);
});

it('is for its owner alone, and so is the database, also where they were there already', async () => {
  const rightsOf = async (...names: string[]) => ((await stat(join(path, ...names))).mode & 0o777).toString(8);
  const database = 'chorus.sqlite';
  await chmod(path, 0o755);
  await openDataFolder(path);
  await (await openSqliteStore(path)).close();
  expect([await rightsOf(), await rightsOf(database)]).toEqual(['700', '600']);
  await chmod(join(path, database), 0o644);
  const store = await openSqliteStore(path);
  expect([await rightsOf(database), await rightsOf(`${database}-wal`)]).toEqual(['600', '600']);
  await store.close();
});
