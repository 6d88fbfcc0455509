import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDataFolder } from '../../../signal-server/machine/data-folder.ts';
import { demandDatabase, demandWitnessMemory } from '../../../signal-server/machine/used-folder.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-used-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a data folder that was in use', () => {
  it.each([['log.key'], ['chorus.sqlite'], ['log/checkpoint'], ['models/a.json']])(
    'without its key, but with %s, is no new one',
    async (trace) => {
      await mkdir(join(folder, trace, '..'), { recursive: true });
      await writeFile(join(folder, trace), 'x');
      const before = await readdir(folder);
      const refused = {
        message: expect.stringContaining(`but ${trace} is there`) as string,
        details: { exitStatus: 2 },
      };
      await expect(openDataFolder(folder)).rejects.toMatchObject(refused);
      expect(await readdir(folder)).toEqual(before);
      await openDataFolder(folder, { newServerKey: true });
      await openDataFolder(folder);
    },
  );

  it.each([
    ['witness.key', 'witness.sqlite'],
    ['witness.sqlite', 'witness.key'],
  ])('of a witness, with %s but without %s, is no new one', async (left, lost) => {
    await demandWitnessMemory(folder);
    await writeFile(join(folder, left), 'x');
    await expect(demandWitnessMemory(folder)).rejects.toThrow(`${lost} is missing, but ${join(folder, left)} is there`);
    await writeFile(join(folder, lost), 'x');
    await demandWitnessMemory(folder);
  });

  it('without its database is no new one, nor with an empty one', async () => {
    await demandDatabase(folder);
    await writeFile(join(folder, 'chorus.sqlite'), '');
    await demandDatabase(folder);
    await writeFile(join(folder, 'log.key'), 'x');
    await expect(demandDatabase(folder)).rejects.toThrow('chorus.sqlite is empty, but log.key is there');
    await rm(join(folder, 'chorus.sqlite'));
    await expect(demandDatabase(folder)).rejects.toThrow('chorus.sqlite is missing, but log.key is there');
    await writeFile(join(folder, 'chorus.sqlite'), 'x');
    await demandDatabase(folder);
  });
});
