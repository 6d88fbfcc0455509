import { argon2id } from 'hash-wasm';
import { WORK_NONCES, WORK_PUZZLES } from '../limits.ts';

/**
 * Work that a key has to show, so that many keys at once cost somebody something: some puzzles, each solved by trying nonces. A try
 * fills memory (Argon2id, RFC 9106), which no special device does much cheaper than a phone.
 */
export interface Work {
  /** Of this key and time alone. */
  readonly seed: Uint8Array<ArrayBuffer>;
  /** That all puzzles together take on average. */
  readonly tries: number;
}

const MEMORY_KIB = 8 * 1024;
const SALT = new TextEncoder().encode('chorus work v1');

/**
 * A nonce for each puzzle. `rest` is waited for between tries, of which each takes the thread for some 20 ms on a desktop, and
 * ends it all by rejecting.
 */
export async function solveWork(work: Work, rest: () => Promise<void>): Promise<number[]> {
  const nonces: number[] = [];
  for (let puzzle = 0; puzzle < WORK_PUZZLES; puzzle++) {
    let nonce = 0;
    for (; !(await isSolved(work, puzzle, nonce)); nonce++) await rest();
    nonces.push(nonce);
  }
  return nonces;
}

/** True if this nonce solves this puzzle: one try. */
export async function isSolved({ seed, tries }: Work, puzzle: number, nonce: number): Promise<boolean> {
  const password = new Uint8Array(seed.length + 8);
  password.set(seed);
  const view = new DataView(password.buffer);
  view.setUint32(seed.length, puzzle, true);
  view.setUint32(seed.length + 4, nonce, true);
  const hash = await argon2id({
    ...{ password, salt: SALT, memorySize: MEMORY_KIB, iterations: 1, parallelism: 1 },
    ...{ hashLength: 16, outputType: 'binary' as const },
  });
  const drawn = new DataView(hash.buffer, hash.byteOffset).getUint32(0, true);
  return drawn < (WORK_NONCES * WORK_PUZZLES) / tries;
}
