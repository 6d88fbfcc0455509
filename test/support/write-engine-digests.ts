/** Writes test/vectors/engine.json: `npx tsx test/support/write-engine-digests.ts`, after `npm run build-engine`. */
import { writeFile } from 'node:fs/promises';
import { nodeEngineDigests } from './node-engine-digests.ts';

await writeFile('test/vectors/engine.json', `${JSON.stringify(await nodeEngineDigests(), null, 2)}\n`);
