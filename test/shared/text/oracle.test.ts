import { beforeAll, describe, expect, test } from 'vitest';
import { loadTextOracle, type TextOracle } from '../../support/oracle.ts';
import { conversations } from '../../support/prompts.ts';
import { wrenText as text } from '../../support/wren-text.ts';

describe('the text of Wren, beside transformers.js', () => {
  let oracle: TextOracle;

  beforeAll(async () => {
    oracle = await loadTextOracle('wren');
  });

  test.each(conversations.map((conversation) => [conversation.at(-1)?.content ?? '', conversation] as const))(
    'has the same tokens and comes back the same: %s',
    (content, conversation) => {
      expect(text.encodePrompt(text.chatPrompt(conversation))).toEqual(oracle.chat(conversation));
      const tokens = oracle.encode(content);
      expect(text.encode(content)).toEqual(tokens);

      const writer = text.createWriter();
      const written = tokens.map((token) => writer.push(token)).join('') + writer.end();
      expect(written).toBe(oracle.decode(tokens));
    },
  );
});
