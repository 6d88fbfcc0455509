import { expect, test } from 'vitest';
import { nodeEngineDigests } from '../../support/node-engine-digests.ts';
import digests from '../../vectors/engine.json' with { type: 'json' };

test('the engine of this class gives the bytes here that it gave where the digests were made', async () => {
  // Another module is another class: write-engine-digests.ts makes its digests.
  expect(await nodeEngineDigests()).toEqual(digests);
});
