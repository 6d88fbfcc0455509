import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { StageRange } from '#shared/model/stage.ts';
import type { Rows } from '#shared/rows/rows.ts';

/** What the engine of a class makes of fixed tokens with Wren, on every platform. */
export interface EngineDigests {
  readonly class: string;
  /** SHA-256 of the rows that leave the first half, and of the candidates that leave the second. */
  readonly hidden: string;
  readonly logits: string;
}

export const halves: readonly [StageRange, StageRange] = [
  { start: 0, end: 4, embedding: true, head: false },
  { start: 4, end: 8, embedding: false, head: true },
];

/** Runs that end within a batch of rows and beyond one. */
const RUNS = [45, 1, 7];

/** Feeds fixed tokens through both halves of Wren; `run` computes one run of a half, of which all logits are wanted. */
export async function engineDigests(
  numericClass: string,
  run: (half: 0 | 1, rows: Rows) => Promise<Rows>,
): Promise<EngineDigests> {
  const [hidden, logits] = [sha256.create(), sha256.create()];
  let start = 0;
  for (const count of RUNS) {
    const tokens = Uint32Array.from({ length: count }, (_, i) => (7919 * (start + i) + 44) % 2048);
    const between = await run(0, { kind: 'tokens', start, count, bytes: new Uint8Array(tokens.buffer) });
    hidden.update(between.bytes);
    logits.update((await run(1, between)).bytes);
    start += count;
  }
  return { class: numericClass, hidden: bytesToHex(hidden.digest()), logits: bytesToHex(logits.digest()) };
}
