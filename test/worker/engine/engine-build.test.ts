import { expect, test } from 'vitest';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { compileEngine, moduleDigits } from '../../../scripts/build-engine.ts';
import { moduleBytes } from '../../../worker/engine/engine-module.ts';

test('the engine’s sources give the bytes of its module, which its numeric class names', async () => {
  const committed = await moduleBytes();
  expect(ENGINE_CLASS).toBe(`int16/${moduleDigits(committed)}`);
  const compiled = await compileEngine();
  expect(Buffer.from(compiled).equals(committed), 'run npm run build-engine').toBe(true);
});
