import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ENGINE_CLASS, ENGINE_MODULE } from '#shared/judge/numeric-class.ts';
import { moduleDigest } from '../../../scripts/build-engine.ts';
import { moduleBytes } from '../../../worker/engine/engine-module.ts';

const script = fileURLToPath(new URL('../../../scripts/build-engine.ts', import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-engine-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('the engine’s sources give the bytes of its module, which its numeric class names', async () => {
  const committed = await moduleBytes();
  expect([ENGINE_CLASS, ENGINE_MODULE]).toEqual([
    `int16/${moduleDigest(committed).slice(0, 16)}`,
    moduleDigest(committed),
  ]);
  const output = join(folder, 'engine.wasm');
  // In a process of its own, whose clang is not optimized.
  await promisify(execFile)(process.execPath, ['--import', 'tsx', script, output]);
  const compiled = await readFile(output);
  expect(compiled.equals(committed), 'run npm run build-engine').toBe(true);
});
