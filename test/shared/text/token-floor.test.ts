import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tokenFloorOf } from '#shared/text/token-floor.ts';
import { tokenizerSchema } from '#shared/text/tokenizer-files.ts';
import { codeOf } from '../../support/code-of.ts';
import { sentencePieceFile, sentencePieceText } from '../../support/sentence-piece-text.ts';
import { wrenText } from '../../support/wren-text.ts';

const wren = tokenizerSchema.parse(JSON.parse(readFileSync('models/wren/tokenizer.json', 'utf8')));
const floor = tokenFloorOf(wren);
const marked = tokenFloorOf(tokenizerSchema.parse(sentencePieceFile));
const withNormalizer = (normalizer: unknown) => tokenFloorOf({ ...wren, normalizer });
const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(fc.constantFrom('the', ' the', '  ', '\n', '漢', '🙂', 'e\u0301', '<|im_end|>'), { maxLength: 30 })
    .map((all) => all.join('')),
);

describe('the fewest tokens that a text can come to', () => {
  it('are never more than it has', () => {
    fc.assert(fc.property(texts, (text) => void expect(floor(text)).toBeLessThanOrEqual(wrenText.encode(text).length)));
    fc.assert(
      fc.property(
        texts,
        (text) => void expect(marked(text)).toBeLessThanOrEqual(sentencePieceText.encode(text).length),
      ),
    );
  });

  it('are many for letters that the model has no word for', () => {
    expect(floor('漢'.repeat(1_000))).toBeGreaterThan(512);
    expect(floor('1'.repeat(1_000))).toBe(1_000);
    expect(marked('漢'.repeat(1_000))).toBe(3_000);
  });

  it('are told of a text as the tokenizer makes it, and hardly where nobody can say what it makes', () => {
    const decomposed = 'e\u0301'.repeat(100);
    expect(withNormalizer({ type: 'NFC' })(decomposed)).toBe(floor('é'.repeat(100)));
    expect(withNormalizer({ type: 'Strip' })(' '.repeat(1_280))).toBe(10);
    const dropping = {
      ...wren,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, { type: 'ByteLevel' }] },
    };
    expect(tokenFloorOf(dropping)(' '.repeat(1_280))).toBe(10);
  });

  it('do not count spaces that a marker beside them takes away', () => {
    const added = wren.added_tokens.map((token) => ({ ...token, rstrip: true }));
    expect(tokenFloorOf({ ...wren, added_tokens: added })(' '.repeat(1_000))).toBe(0);
  });

  it('are what a prompt is refused by before it is read', () => {
    const prompt = wrenText.chatPrompt([{ role: 'user', content: '漢'.repeat(200_000) }]);
    const started = performance.now();
    expect(codeOf(() => wrenText.encodePrompt(prompt, 512))).toBe('too-long');
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(() => wrenText.encodePrompt(wrenText.textPrompt('the wren'), 512)).not.toThrow();
  });
});
