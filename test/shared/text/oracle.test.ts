import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { loadOracle, type Oracle } from '../../support/oracle.ts';
import { conversations } from '../../support/prompts.ts';

const readModelFile = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(`models/wren/${name}`));

describe('the text of Wren, beside transformers.js', () => {
  let oracle: Oracle;
  let text: ModelText;

  beforeAll(async () => {
    oracle = await loadOracle('wren', 'q4');
    text = openModelText(readModelFile('tokenizer.json'), readModelFile('tokenizer_config.json'));
  });

  afterAll(() => oracle.dispose());

  test.each(conversations.map((conversation) => [conversation.at(-1)?.content ?? '', conversation] as const))(
    'has the same tokens and comes back the same: %s',
    (content, conversation) => {
      expect(text.encodeChat(conversation)).toEqual(oracle.chat(conversation));
      const tokens = oracle.encode(content);
      expect(text.encode(content)).toEqual(tokens);

      const writer = text.createWriter();
      const written = tokens.map((token) => writer.push(token)).join('') + writer.end();
      expect(written).toBe(oracle.decode(tokens));
    },
  );
});
