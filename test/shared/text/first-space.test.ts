import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SENTENCE_PIECE_IDS, sentencePieceText as text } from '../../support/sentence-piece-text.ts';

function write(tokens: readonly number[], before: readonly number[]): string {
  const writer = text.createWriter([], before);
  return tokens.map((token) => writer.push(token)).join('') + writer.end();
}

describe('an answer of a SentencePiece model', () => {
  it('keeps the space that it begins with after its prompt', () => {
    const prompt = text.encode('the dog');
    const whole = text.encode('the dog was a');
    const answer = whole.slice(prompt.length);
    expect(whole.slice(0, prompt.length)).toEqual(prompt);
    expect(write(answer, prompt)).toBe(' was a');
    expect(text.decode(answer, prompt)).toBe(' was a');
    expect(text.decode(whole)).toBe('the dog was a');
  });

  it('adds what decoding both together adds, for any tokens', () => {
    const tokens = fc.array(fc.integer({ min: 0, max: SENTENCE_PIECE_IDS.size - 1 }), { maxLength: 40 });
    fc.assert(
      fc.property(tokens, tokens, (prompt, answer) => {
        const added = write(answer, prompt);
        expect(added).toBe(text.decode(answer, prompt));
        const whole = text.decode([...prompt, ...answer]);
        expect(whole.endsWith(added)).toBe(true);
        // Bytes at the prompt's end that are no character yet belong to the answer that makes them one.
        expect(whole.slice(0, whole.length - added.length)).toBe(text.decode(prompt).replace(/\uFFFD$/, ''));
      }),
      { numRuns: 200 },
    );
  });
});
