import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { openDataFolder } from '../../../signal-server/machine/data-folder.ts';
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
