import { describe, expect, test } from 'vitest';
import { checkReveal } from '#shared/judge/reveal-form.ts';
import type { Reveal } from '#shared/judge/statement.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { smallManifest } from '../../support/small-manifest.ts';
import { logitsRow, makeChunk, speak, speakLogits } from '../../support/testimonies.ts';

const { config } = smallManifest();
const chunk = makeChunk(1, 8, 4);
const hidden = speak(chunk).reveal;
const row = logitsRow(Array.from({ length: 100 }, (_, token) => Math.sin(token))).slice(0, 516);
const head = speakLogits(chunk, [row, row]).reveal;
const none = new Uint8Array(0);

const middle: StageRange = { start: 2, end: 4, embedding: false, head: false };
const first: StageRange = { start: 0, end: 4, embedding: true, head: false };
const last: StageRange = { start: 4, end: 8, embedding: false, head: true };

/** The bytes with one f32 replaced. */
function withNumber(bytes: Uint8Array<ArrayBuffer>, offset: number, value: number): Uint8Array<ArrayBuffer> {
  const changed = bytes.slice();
  new DataView(changed.buffer).setFloat32(offset, value, true);
  return changed;
}

describe('a reveal', () => {
  test.each<[string, Reveal, StageRange, number | null]>([
    ['of a middle stage', hidden, middle, null],
    ['of a first stage', { ...hidden, input: none }, first, null],
    ['of a last stage', head, last, 2],
    ['of a last stage, whatever was wanted', head, last, null],
    ['of a last stage of which nothing was wanted', { ...head, output: none }, last, 0],
  ])('%s is as it should be', (_, reveal, range, wanted) => {
    expect(checkReveal(reveal, range, config, wanted)).toBeNull();
  });

  test.each<[string, Reveal, StageRange, number | null]>([
    ['tokens as input where hidden rows belong', { ...hidden, input: none }, middle, null],
    ['a sketch of tokens', hidden, first, null],
    ['no output', { ...hidden, output: none }, middle, null],
    ['logits where a sketch belongs', head, middle, null],
    ['a sketch where logits belong', hidden, last, null],
    ['more logits than were wanted', head, last, 1],
    ['fewer logits than were wanted', head, last, 3],
    ['more logits than positions', speakLogits(chunk, [row, row, row, row, row]).reveal, last, null],
    [
      'a token twice',
      { ...head, output: new Uint8Array([...row, ...row.slice(0, 12), ...row.slice(4, 508)]) },
      last,
      2,
    ],
  ])('with %s is malformed', (_, reveal, range, wanted) => {
    expect(checkReveal(reveal, range, config, wanted)).toBe('reveal-malformed');
  });

  test('of numbers that are none is not finite, sketch, logit or log-sum-exp', () => {
    const sketch = { ...hidden, output: withNumber(hidden.output, 68, NaN) };
    expect(checkReveal(sketch, middle, config, null)).toBe('not-finite');
    for (const offset of [0, 8, 512, 516, 524]) {
      const logits = { ...head, output: withNumber(head.output, offset, Infinity) };
      expect(checkReveal(logits, last, config, 2)).toBe('not-finite');
    }
  });

  test('is not blamed for input that is no numbers', () => {
    expect(checkReveal({ ...hidden, input: withNumber(hidden.input, 0, NaN) }, middle, config, null)).toBeNull();
  });
});
