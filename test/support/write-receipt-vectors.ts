/** Writes test/vectors/receipts: `npx tsx test/support/write-receipt-vectors.ts`. */
import { copyFile, writeFile } from 'node:fs/promises';
import { format } from 'oxfmt';
import { makeVectorFiles } from './receipt-vectors.ts';

for (const [name, file] of Object.entries(await makeVectorFiles())) {
  const { code } = await format(`${name}.json`, JSON.stringify(file), { printWidth: 120 });
  await writeFile(`test/vectors/receipts/${name}.json`, code);
  for (const { name: vector, valid, tier, failed } of file.vectors) {
    process.stdout.write(`${vector}: ${valid ? tier : failed.join(', ')}\n`);
  }
}
await copyFile('shared/judge/thresholds.json', 'test/vectors/receipts/thresholds.json');
