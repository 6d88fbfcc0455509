import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StageRange } from '#shared/model/stage.ts';
import { isThorough } from '../support/effort.ts';
import { readGoldenAnswers } from '../support/golden-answers.ts';
import { importWren } from '../support/imported-wren.ts';
import { loadOracle, type Oracle } from '../support/oracle.ts';
import { answered, continued, conversations, reliedUpon } from '../support/prompts.ts';
import { loadStagedModel, type StagedModel } from '../support/staged-model.ts';

const halves: readonly StageRange[] = [
  { start: 0, end: 4, embedding: true, head: false },
  { start: 4, end: 8, embedding: false, head: true },
];
const golden = readGoldenAnswers();

describe('the greedy answers that other tests compare with', () => {
  /** All of them under `npm run test:thorough`, otherwise those that other tests rely on and one of each kind. */
  const verified = isThorough ? golden.chats : reliedUpon.map((messages) => golden.chatOf(messages));
  let oracle: Oracle;

  beforeAll(async () => {
    oracle = await loadOracle('wren', 'q4');
  }, 60_000);

  afterAll(() => oracle.dispose());

  test('are of the conversations that are asked, 64 and two more', () => {
    expect(conversations).toHaveLength(64);
    expect(golden.chats).toHaveLength(66);
    expect(golden.chats.map(({ messages, tokens }) => ({ messages, count: tokens.length }))).toEqual(answered);
  });

  test('are those of transformers.js on the uncut Wren', { timeout: 240_000 }, async () => {
    for (const { messages, prompt, tokens } of verified) {
      expect(prompt).toEqual(oracle.chat(messages));
      expect(await oracle.greedy(prompt, tokens.length), JSON.stringify(messages)).toEqual(tokens);
      expect(golden.answer(messages, tokens.length)).toBe(await oracle.answer(messages, tokens.length));
    }
    const prompt = oracle.encode(continued.text);
    expect(golden.greedy(prompt, continued.count)).toEqual(await oracle.greedy(prompt, continued.count));
  });
});

describe('two stages with half-precision rows between them', () => {
  /** Of each answer; all of its tokens under `npm run test:thorough`. */
  const tokensEach = isThorough ? Infinity : 16;
  let staged: StagedModel;

  beforeAll(async () => {
    staged = await loadStagedModel(await importWren(), halves);
  }, 60_000);

  afterAll(() => staged.release());

  test(
    `give ${isThorough ? 'all' : 'the first 16'} greedy tokens of the uncut Wren after each of 66 prompts`,
    { timeout: 240_000 },
    async () => {
      for (const { messages, prompt, tokens } of golden.chats) {
        const expected = tokens.slice(0, tokensEach);
        expect(await staged.greedy(prompt, expected.length), JSON.stringify(messages)).toEqual(expected);
      }
    },
  );
});
