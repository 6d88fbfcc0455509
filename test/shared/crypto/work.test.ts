import { describe, expect, it } from 'vitest';
import { isSolved, solveWork } from '#shared/crypto/work.ts';
import { WORK_PUZZLES } from '#shared/limits.ts';

const seed = new Uint8Array(32).fill(7);

describe('work', () => {
  it('is solved by a nonce for each puzzle, which solves neither another puzzle nor another key’s by itself', async () => {
    const work = { seed, tries: 1.5 * WORK_PUZZLES };
    let tries = 0;
    const nonces = await solveWork(work, async () => void tries++);
    expect(nonces).toHaveLength(WORK_PUZZLES);
    // The last try of each puzzle is the one that solves it.
    expect(nonces.reduce((sum, nonce) => sum + nonce, 0)).toBe(tries);
    expect(await isSolved(work, 3, nonces[3]!)).toBe(true);
    const others = await Promise.all(
      [0, 1, 2, 3].map((puzzle) => isSolved({ ...work, seed: other }, puzzle, nonces[puzzle]!)),
    );
    expect(others).toContain(false);
  });

  it('is the same everywhere: what solves it here solves it at a server', async () => {
    const solved = await Promise.all([1, 2].map((nonce) => isSolved({ seed, tries: 16 }, 0, nonce)));
    expect(solved).toEqual([true, false]);
  });

  it('ends when its thread has something better to do', async () => {
    const ended = solveWork({ seed, tries: 100_000 }, () => Promise.reject(new Error('the stage is gone')));
    await expect(ended).rejects.toThrow('the stage is gone');
  });
});

const other = new Uint8Array(32).fill(8);
