import { ChorusError } from '../errors.ts';
import { TOP_K } from '../limits.ts';
import type { Manifest } from '../model/manifest.ts';
import type { StageRange } from '../model/stage.ts';
import { logitsRowBytes } from '../rows/logits-row.ts';
import { candidatesOf } from './closeness.ts';
import { readF32, SKETCH_BYTES } from './sketch.ts';
import type { Reveal } from './statement.ts';

/**
 * The fault of a reveal by itself, as the reveal of a stage of this range: `reveal-malformed` where its sizes, or its
 * logits rows, are not what that stage gives, `not-finite` where it computed no numbers, else null. `wanted` is how many
 * logits rows were asked for in the span; null where that is not known.
 */
export function checkReveal(
  reveal: Reveal,
  range: StageRange,
  { vocabularySize }: Manifest['config'],
  wanted: number | null,
): 'reveal-malformed' | 'not-finite' | null {
  const count = reveal.end - reveal.start;
  if (reveal.input.length !== (range.embedding ? 0 : count * SKETCH_BYTES)) return 'reveal-malformed';
  if (!range.head) {
    if (reveal.output.length !== count * SKETCH_BYTES) return 'reveal-malformed';
    return readF32(reveal.output).every(Number.isFinite) ? null : 'not-finite';
  }
  const rows = reveal.output.length / logitsRowBytes(Math.min(TOP_K, vocabularySize));
  if (!Number.isInteger(rows) || rows > count || rows !== (wanted ?? rows)) return 'reveal-malformed';
  if (!areFinite(reveal.output, rows)) return 'not-finite';
  try {
    candidatesOf(reveal, vocabularySize);
    return null;
  } catch (error) {
    if (error instanceof ChorusError) return 'reveal-malformed';
    throw error;
  }
}

/** Of each row the first number and then every second one: log-sum-exp and logits, without the tokens between them. */
function areFinite(output: Uint8Array<ArrayBuffer>, rows: number): boolean {
  const values = readF32(output);
  const rowLength = values.length / rows;
  return values.every((value, i) => (i % rowLength) % 2 === 1 || Number.isFinite(value));
}
