import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fromBase64, toBase64 } from '#shared/bytes.ts';
import { parseStrictText } from '#shared/crypto/strict-json.ts';
import { seeded } from '../../../scripts/mutants/draw.ts';
import { ChorusError } from '#shared/errors.ts';
import { parseReceiptFile, parseStatement } from '#shared/receipt/read-receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { repetitions } from '../../support/effort.ts';
import { jsonBytes, mutatedBytes, mutatedJson } from '../../support/mutations.ts';
import type { VectorFile } from '../../support/receipt-vectors.ts';

const path = new URL('../../vectors/receipts/good.json', import.meta.url);
const { given, vectors } = JSON.parse(readFileSync(path, 'utf8')) as VectorFile;
const receipts = vectors.map(({ receipt }) => receipt as { envelope: { payload: string }; proof: string | null });

/** A receipt in which something is another: of the file, of what it says, or of the bytes of that. */
function mutated(seed: number): unknown {
  const chance = seeded(seed);
  const receipt = receipts[seed % receipts.length]!;
  const kind = Math.floor(chance() * 4);
  if (kind === 0) return mutatedJson(receipt, chance);
  const payload = fromBase64(receipt.envelope.payload);
  const statement: unknown = JSON.parse(new TextDecoder().decode(payload));
  const bytes = kind === 1 ? mutatedBytes(payload, chance) : jsonBytes(mutatedJson(statement, chance));
  return { ...receipt, envelope: { ...receipt.envelope, payload: toBase64(bytes) } };
}

test(
  'a receipt with anything changed is refused in words or found wrong, whatever its signatures are, in a moment',
  { timeout: 1_200_000 },
  async () => {
    const found = new Set<string>();
    let slowestMs = 0;
    for (let seed = 0; seed < repetitions(400, 100_000); seed++) {
      const receipt = mutated(seed);
      const startedMs = performance.now();
      try {
        parseStatement(parseReceiptFile(parseStrictText(JSON.stringify(receipt))));
        // As if whoever changed it had all the keys: no signature stands in the way of what comes after it.
        const verify = () => Promise.resolve(true);
        const { checks } = await verifyReceipt({
          receipt,
          verify,
          ...(given.answer !== null && { answer: given.answer }),
        });
        found.add(checks.some(({ status }) => status === 'failed') ? 'found wrong' : 'held');
      } catch (thrown) {
        if (!(thrown instanceof ChorusError)) throw new Error(`seed ${seed}`, { cause: thrown });
        found.add(thrown.code);
      }
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    }
    expect([...found].sort()).toEqual(['bad-message', 'found wrong', 'held']);
    expect(slowestMs).toBeLessThan(5_000);
  },
);
