import { readingsOf, type Prompt } from '../../text/prompt.ts';
import type { ModelText } from '../../text/model-text.ts';

/** A prompt at hand: in pieces, or only its text. */
export interface PromptAtHand {
  readonly prompt?: string | undefined;
  readonly pieces?: Prompt | undefined;
}

/**
 * Whether a prompt encodes to the tokens that were fed, by the one function that page, gateway and command line encode with. Of
 * a text alone any reading of its markers will do. Null without a prompt.
 */
export function comparePrompt(
  text: Pick<ModelText, 'encodePrompt' | 'textPrompt'>,
  { prompt, pieces }: PromptAtHand,
  fed: readonly number[],
): boolean | null {
  if (prompt === undefined && pieces === undefined) return null;
  const readings = pieces === undefined ? readingsOf(text, prompt!) : [pieces];
  return readings.some((reading) => isSame(text.encodePrompt(reading), fed));
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
}
