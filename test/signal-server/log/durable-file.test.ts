import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { readIfThere, writeDurably } from '../../../signal-server/log/durable-file.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';

let folder: string;
beforeEach(async () => {
  folder = await newFolder();
});
afterEach(() => removeFolder(folder));

it('puts a file in the place of the one before', async () => {
  const path = join(folder, 'checkpoint');
  await writeDurably(path, utf8('one'));
  await writeDurably(path, utf8('another'));
  expect(await readIfThere(path)).toEqual(utf8('another'));
  expect(await readdir(folder)).toEqual(['checkpoint']);
});

it('leaves nothing behind where it fails', async () => {
  await mkdir(join(folder, 'checkpoint', 'inside'), { recursive: true });
  await expect(writeDurably(join(folder, 'checkpoint'), utf8('one'))).rejects.toThrow();
  expect(await readdir(folder)).toEqual(['checkpoint']);
});
