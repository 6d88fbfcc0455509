import { Tokenizer } from '@huggingface/tokenizers';
import type { ImportedWren } from '../imported-wren.ts';
import { conversations } from '../prompts.ts';
import { loadStagedModel } from '../staged-model.ts';

/**
 * `count` different histories of `positions` tokens as the default model has them: questions and its own greedy
 * answers, one after the other, each history beginning with another question.
 */
export async function wrenCorpus(wren: ImportedWren, count: number, positions: number): Promise<Uint32Array[]> {
  const { layers, endTokens } = wren.manifest.config;
  const { tokenizer, config } = wren.manifest.tokenizer;
  const json = (digest: typeof tokenizer.digest): object =>
    JSON.parse(new TextDecoder().decode(wren.blob(digest))) as object;
  const text = new Tokenizer(json(tokenizer.digest), json(config.digest));
  const model = await loadStagedModel(wren, [{ start: 0, end: layers, embedding: true, head: true }]);
  const ask = async (question: string, length: number): Promise<number[]> => {
    const prompt = `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`;
    const { ids } = text.encode(prompt, { add_special_tokens: false });
    const answer = await model.greedy(ids, length);
    const end = answer.findIndex((token) => endTokens.includes(token));
    return [...ids, ...(end === -1 ? answer : answer.slice(0, end + 1))];
  };
  const questions = conversations.filter((turns) => turns.length === 1).map(([turn]) => turn?.content ?? '');
  // Stories are long and fill most of a history; the rest is one question of every kind.
  const stories = questions.filter((question) => /story|^Continue/.test(question));
  const others = questions.filter((question) => !stories.includes(question));
  const turns: number[][] = [];
  for (let i = 0; i < Math.max(count, 16); i++) {
    turns.push(await ask(stories[i % stories.length]!, 160), await ask(others[(5 * i) % others.length]!, 32));
  }
  await model.release();
  return Array.from({ length: count }, (_, i) => {
    const history: number[] = [];
    for (let turn = 2 * i; history.length < positions; turn++) history.push(...turns[turn % turns.length]!);
    return Uint32Array.from(history.slice(0, positions));
  });
}
