import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { ChatTurn } from './oracle.ts';
import { wrenText } from './wren-text.ts';

const token = z.int().min(0);
const goldenSchema = z.object({
  chats: z.array(
    z.object({
      messages: z.array(z.object({ role: z.enum(['system', 'user', 'assistant']), content: z.string() })),
      prompt: z.array(token),
      tokens: z.array(token),
    }),
  ),
  texts: z.array(z.object({ text: z.string(), prompt: z.array(token), tokens: z.array(token) })),
});
export type GoldenFile = z.infer<typeof goldenSchema>;

const path = 'test/vectors/greedy.json';
/** At any of these an answer of Wren ends. */
const END_TOKENS = z
  .object({ eos_token_id: z.array(token) })
  .parse(JSON.parse(readFileSync('models/wren/generation_config.json', 'utf8'))).eos_token_id;

/**
 * The greedy tokens of transformers.js for the uncut q4 Wren, past any end token, as test/worker/oracle.test.ts verifies
 * them. `npx tsx test/support/write-golden-answers.ts` writes the file anew.
 */
export interface GoldenAnswers {
  readonly chats: GoldenFile['chats'];
  /** The answer to a conversation that is kept. */
  chatOf(messages: readonly ChatTurn[]): GoldenFile['chats'][number];
  /** Tokens of the chat template over `messages`, with the opening of the answer. */
  chat(messages: readonly ChatTurn[]): number[];
  /** The first `count` greedy tokens after a prompt that is kept. */
  greedy(prompt: readonly number[], count: number): number[];
  /** The greedy answer in a conversation, up to its end token, as text. */
  answer(messages: readonly ChatTurn[], maxNewTokens: number): string;
}

/** Throws if the file cannot be read, and later where something is asked for that is not in it. */
export function readGoldenAnswers(): GoldenAnswers {
  const { chats, texts } = goldenSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  const chatOf = (messages: readonly ChatTurn[]) => {
    const found = chats.find((chat) => JSON.stringify(chat.messages) === JSON.stringify(messages));
    if (found === undefined) throw new RangeError(`${path} has no answer to ${JSON.stringify(messages)}`);
    return found;
  };
  const greedy = (prompt: readonly number[], count: number): number[] => {
    const tokens = [...chats, ...texts].find((kept) => String(kept.prompt) === String(prompt))?.tokens ?? [];
    if (tokens.length < count)
      throw new RangeError(`${path} has ${tokens.length} tokens after this prompt, not ${count}`);
    return tokens.slice(0, count);
  };
  return {
    chats,
    chatOf,
    chat: (messages) => [...chatOf(messages).prompt],
    greedy,
    answer(messages, maxNewTokens) {
      const tokens = greedy(chatOf(messages).prompt, maxNewTokens);
      const end = tokens.findIndex((each) => END_TOKENS.includes(each));
      return wrenText.decode(tokens.slice(0, end === -1 ? undefined : end));
    },
  };
}
