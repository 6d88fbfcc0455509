import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StageRange } from '#shared/model/stage.ts';
import { importWren, type ImportedWren } from '../support/imported-wren.ts';
import { loadOracle, type Oracle } from '../support/oracle.ts';
import { conversations } from '../support/prompts.ts';
import { loadStagedModel } from '../support/staged-model.ts';

const tokensEach = 64;
const halves: readonly StageRange[] = [
  { start: 0, end: 4, embedding: true, head: false },
  { start: 4, end: 8, embedding: false, head: true },
];

describe('transformers.js on the uncut Wren and two stages with half-precision rows between them', () => {
  let oracle: Oracle;
  let wren: ImportedWren;

  beforeAll(async () => {
    [oracle, wren] = await Promise.all([loadOracle('wren', 'q4'), importWren()]);
  }, 60_000);

  afterAll(async () => {
    await oracle.dispose();
  });

  test('give the same 64 greedy tokens after each of 64 prompts', { timeout: 240_000 }, async () => {
    expect(conversations).toHaveLength(64);
    const staged = await loadStagedModel(wren, halves);
    for (const conversation of conversations) {
      const prompt = oracle.chat(conversation);
      const expected = await oracle.greedy(prompt, tokensEach);
      expect(expected).toHaveLength(tokensEach);
      expect(await staged.greedy(prompt, tokensEach), JSON.stringify(conversation)).toEqual(expected);
    }
    await staged.release();
  });
});
