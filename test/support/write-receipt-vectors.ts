/** Writes test/vectors/receipts: `npx tsx test/support/write-receipt-vectors.ts`. */
import { copyFile, writeFile } from 'node:fs/promises';
import { makeVectorFiles } from './receipt-vectors.ts';

for (const [name, file] of Object.entries(await makeVectorFiles())) {
  await writeFile(`test/vectors/receipts/${name}.json`, `${JSON.stringify(file)}\n`);
  for (const { name: vector, valid, tier, failed } of file.vectors) {
    process.stdout.write(`${vector}: ${valid ? tier : failed.join(', ')}\n`);
  }
}
await copyFile('shared/judge/thresholds.json', 'test/vectors/receipts/thresholds.json');
