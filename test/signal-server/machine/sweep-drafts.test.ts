import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openDataFolder } from '../../../signal-server/machine/data-folder.ts';

const digest = 'a'.repeat(64);
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-drafts-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function write(path: string, ageMs: number): Promise<void> {
  await mkdir(join(folder, path, '..'), { recursive: true });
  await writeFile(join(folder, path), 'x');
  const atSeconds = (Date.now() - ageMs) / 1000;
  await utimes(join(folder, path), atSeconds, atSeconds);
}

it('a data folder loses the drafts of processes that were killed, and nothing else', async () => {
  const partial = `blobs/partial/${digest}.10`;
  const oldMs = 2 * 60 * 60_000;
  await write(`blobs/.${randomUUID()}.part`, oldMs);
  await write(`blobs/.${randomUUID()}`, oldMs);
  await write(`${partial}/.${randomUUID()}`, oldMs);
  await write('models/.0123456789abcdef.part', oldMs);
  const fresh = `.${randomUUID()}.part`;
  await write(`blobs/${fresh}`, 0);
  await write(`blobs/${digest}`, oldMs);
  await write(`blobs/.gitkeep`, oldMs);
  await write(`${partial}/0.${digest}`, oldMs);
  await openDataFolder(folder);
  expect((await readdir(join(folder, 'blobs'))).sort()).toEqual([fresh, '.gitkeep', digest, 'partial'].sort());
  expect(await readdir(join(folder, partial))).toEqual([`0.${digest}`]);
  expect(await readdir(join(folder, 'models'))).toEqual([]);
});
