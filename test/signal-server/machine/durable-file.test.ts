import type * as fileSystem from 'node:fs/promises';
import { access, mkdir, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof fileSystem>();
  return { ...real, open: vi.fn(real.open), access: vi.fn(real.access) };
});
// Tests before this one may have loaded it with the real file system.
vi.resetModules();
const { bytesToRead, makeFolder, readIfThere, writeDurably } =
  await import('../../../signal-server/machine/durable-file.ts');

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

it('makes a folder whose name is on the disk, also where a killed process had made it', async () => {
  const opened = vi.mocked(open).mock.calls;
  const path = join(folder, 'a', 'b');
  opened.length = 0;
  await makeFolder(path);
  expect(opened.map(([of]) => of)).toEqual([dirname(path), folder]);
  opened.length = 0;
  await makeFolder(path);
  expect(opened.map(([of]) => of)).toEqual([dirname(path)]);
});

it('names the file that cannot be read', async () => {
  await mkdir(join(folder, 'checkpoint'));
  await expect(readIfThere(join(folder, 'checkpoint'))).rejects.toMatchObject({ path: join(folder, 'checkpoint') });
});

it('counts only a file that can be read as there', async () => {
  await writeDurably(join(folder, 'blob'), utf8('one'));
  await mkdir(join(folder, 'other'));
  const sizes = await Promise.all(['blob', 'other', 'none'].map((name) => bytesToRead(join(folder, name))));
  expect(sizes).toEqual([3, null, null]);
  vi.mocked(access).mockRejectedValueOnce(Object.assign(new Error(), { code: 'EACCES' }));
  expect(await bytesToRead(join(folder, 'blob'))).toBeNull();
});
