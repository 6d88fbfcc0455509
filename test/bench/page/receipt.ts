import { verifyHere } from '../../../web/receipts/verify-here.ts';
import type { VerifiedReceipt } from '../receipt.ts';

/** Milliseconds that it takes to verify a receipt, each time. Throws if a check did not pass. */
export async function timeVerification({ salt, ...verified }: VerifiedReceipt, times: number): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    const startedMs = performance.now();
    const { checks } = await verifyHere({ ...verified, salt: Uint8Array.from(salt) });
    took.push(performance.now() - startedMs);
    const open = checks.find(({ name, status }) => status !== 'passed' && name !== 'model');
    if (open !== undefined) throw new Error(`${open.name}: ${open.detail}`);
  }
  return took;
}
