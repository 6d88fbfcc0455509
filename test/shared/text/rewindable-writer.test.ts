import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openModelText } from '#shared/text/model-text.ts';
import { RewindableWriter } from '#shared/text/rewindable-writer.ts';

const file = (name: string) => new Uint8Array(readFileSync(`models/wren/${name}`));
const text = openModelText(file('tokenizer.json'), file('tokenizer_config.json'));
const FIRST = 7;

/** The pieces of tokens that come from position FIRST on. */
function pieces(writer: RewindableWriter, tokens: readonly number[], from = FIRST): string[] {
  return tokens.map((token, i) => writer.push(from + i, token));
}

describe('a writer of tokens that may be taken back', () => {
  it('goes on from the tokens that are kept as if no others had come', () => {
    const [kept, wrong, right] = ['The sun 🙂', '🌧 lied', '☀ rose.'].map((sample) => text.encode(sample)) as [
      number[],
      number[],
      number[],
    ];
    const writer = new RewindableWriter(() => text.createWriter());
    const before = pieces(writer, kept);
    pieces(writer, wrong, FIRST + kept.length);
    writer.rewind(FIRST + kept.length);
    const after = pieces(writer, right, FIRST + kept.length);
    expect([...before, ...after, writer.end()].join('')).toBe('The sun 🙂☀ rose.');
  });

  it('may be cut anywhere, in the middle of a character too, and as often as one likes', () => {
    const tokens = text.encode('a👩‍👩‍👧‍👦b日本é🙂c');
    fc.assert(
      fc.property(fc.array(fc.nat(tokens.length), { maxLength: 4 }), (cuts) => {
        const writer = new RewindableWriter(() => text.createWriter());
        let shown = pieces(writer, tokens);
        for (const cut of cuts) {
          writer.rewind(FIRST + cut);
          shown = [...shown.slice(0, cut), ...pieces(writer, tokens.slice(cut), FIRST + cut)];
        }
        expect([...shown, writer.end()].join('')).toBe('a👩‍👩‍👧‍👦b日本é🙂c');
      }),
    );
  });

  it('forgets a stop string that is taken back', () => {
    const writer = new RewindableWriter(() => text.createWriter(['END']));
    const tokens = text.encode('one END');
    pieces(writer, tokens);
    expect(writer.isStopped).toBe(true);
    writer.rewind(FIRST + 1);
    expect(writer.isStopped).toBe(false);
  });

  it('leaves all as it is when nothing is taken back', () => {
    const tokens = text.encode('🙂');
    const writer = new RewindableWriter(() => text.createWriter());
    const shown = pieces(writer, tokens.slice(0, 2));
    writer.rewind(FIRST + 2);
    expect([...shown, ...pieces(writer, tokens.slice(2), FIRST + 2)].join('')).toBe('🙂');
  });
});
