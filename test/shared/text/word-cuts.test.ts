import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { utf8 } from '#shared/bytes.ts';
import { openModelText } from '#shared/text/model-text.ts';

const vectors = z
  .object({
    vocab: z.record(z.string(), z.int()),
    merges: z.array(z.tuple([z.string(), z.string()])),
    cases: z.array(
      z.object({
        name: z.string(),
        pre_tokenizer: z.unknown(),
        answers: z.array(z.tuple([z.string(), z.array(z.int())])),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync('test/vectors/word-cuts.json', 'utf8')));

test.each(vectors.cases)("text of all scripts is cut as Rust's tokenizers cuts it, by $name", (cut) => {
  const { vocab, merges } = vectors;
  const decoder = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
  const model = { type: 'BPE', unk_token: null, vocab, merges };
  const file = { version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: cut.pre_tokenizer, decoder, model };
  const text = openModelText(utf8(JSON.stringify({ ...file, post_processor: null })), utf8('{}'));
  for (const [words, tokens] of cut.answers) {
    expect(text.encode(words), words).toEqual(tokens);
    expect(text.decode(tokens), words).toBe(words);
  }
});
