import { createRandom } from '../../support/synthetic-weights.ts';
import type { Prompt } from './contender.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const FIRST_LETTER = 256;

/**
 * A vocabulary in which each letter is a token, and nothing is merged: a text of n letters is n tokens, also where only text
 * is taken. What tokens mean costs no time. Every other token has a name that is whole text by itself.
 */
export function letterVocabulary(size: number): string[] {
  const names = Array.from({ length: size }, (_, id) => LETTERS[id - FIRST_LETTER] ?? `[${id}]`);
  // A tokenizer of this kind is expected to know the line feed, written as its bytes are.
  names[FIRST_LETTER - 1] = 'Ċ';
  return names;
}

/** The token with this name; NaN if it is none of those. */
export function tokenNamed(name: string): number {
  const letter = LETTERS.indexOf(name);
  return letter < 0 ? Number(/^\[(\d+)\]$/.exec(name)?.[1]) : FIRST_LETTER + letter;
}

/** `length` letters that differ from seed to seed from the first on, so that nothing read before is of use. */
export function letterPrompt(length: number, seed: number): Prompt {
  const random = createRandom(seed);
  const drawn = Array.from({ length }, () => Math.floor(random() * LETTERS.length));
  return { text: drawn.map((i) => LETTERS[i]).join(''), tokens: drawn.map((i) => FIRST_LETTER + i) };
}
