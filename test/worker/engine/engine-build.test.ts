import { expect, test } from 'vitest';
import { ENGINE_CLASS, ENGINE_MODULE } from '#shared/judge/numeric-class.ts';
import { compileEngine, moduleDigest } from '../../../scripts/build-engine.ts';
import { moduleBytes } from '../../../worker/engine/engine-module.ts';

test('the engine’s sources give the bytes of its module, which its numeric class names', async () => {
  const committed = await moduleBytes();
  expect([ENGINE_CLASS, ENGINE_MODULE]).toEqual([
    `int16/${moduleDigest(committed).slice(0, 16)}`,
    moduleDigest(committed),
  ]);
  const compiled = await compileEngine();
  expect(Buffer.from(compiled).equals(committed), 'run npm run build-engine').toBe(true);
});
