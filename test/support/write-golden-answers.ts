/** Writes test/vectors/greedy.json: `npx tsx test/support/write-golden-answers.ts`, from the root of the repository. */
import { writeFile } from 'node:fs/promises';
import type { GoldenFile } from './golden-answers.ts';
import { loadOracle } from './oracle.ts';
import { answered, continued } from './prompts.ts';

const oracle = await loadOracle('wren', 'q4');
const chats: GoldenFile['chats'] = [];
for (const { messages, count } of answered) {
  const prompt = oracle.chat(messages);
  chats.push({ messages: [...messages], prompt, tokens: await oracle.greedy(prompt, count) });
}
const prompt = oracle.encode(continued.text);
const texts = [{ text: continued.text, prompt, tokens: await oracle.greedy(prompt, continued.count) }];
await oracle.dispose();
const lines = (entries: readonly unknown[]): string =>
  entries.map((entry) => `    ${JSON.stringify(entry)}`).join(',\n');
await writeFile(
  'test/vectors/greedy.json',
  `{\n  "chats": [\n${lines(chats)}\n  ],\n  "texts": [\n${lines(texts)}\n  ]\n}\n`,
);
