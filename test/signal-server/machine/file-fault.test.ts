import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { explainFileFault } from '../../../signal-server/machine/file-fault.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';

let folder: string;
beforeEach(async () => {
  folder = await newFolder();
});
afterEach(() => removeFolder(folder));

it('names the file that a draft should have become, not the draft', async () => {
  const [draft, path] = [join(folder, '.x.part'), join(folder, 'running.json')];
  await writeFile(draft, '');
  await mkdir(path);
  const thrown: unknown = await rename(draft, path).catch((error: unknown) => error);
  expect(explainFileFault(thrown, folder)).toMatchObject({
    message: expect.stringContaining(`${path} cannot be used: something else lies there`) as string,
    details: { exitStatus: 2 },
  });
});

it.each([
  '.checkpoint.d81a83ce-e422-4be8-9ae8-15c07c59ca56',
  'server.key.d81a83ce-e422-4be8-9ae8-15c07c59ca56',
  '.d81a83ce-e422-4be8-9ae8-15c07c59ca56.part',
  '.d81a83cee4224be8.part',
])('names the folder that takes no draft: %s', (name) => {
  const thrown = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES', path: `/data/log/${name}` });
  expect(explainFileFault(thrown, '/data')).toMatchObject({
    message: expect.stringContaining('/data/log cannot be used: this user may not use it') as string,
  });
});
