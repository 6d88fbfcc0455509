import { utf8 } from '../bytes.ts';
import { vocabularyOf, type TokenizerFile } from './tokenizer-files.ts';

/** The fewest tokens that a text can come to, told without making them; no more are counted than are `enough`. */
export type TokenFloor = (text: string, enough?: number) => number;

/** What tokens of one kind of tokenizer are made of: bytes, or characters. */
interface Alphabet {
  /** The letters that a text comes to before it is cut into tokens; none of them is left out of these. */
  lettersOf(text: string): Iterable<number>;
  /** The letters of a token of the vocabulary. */
  lettersIn(token: string): readonly number[];
  /** The tokens that a letter comes to that is none by itself: 0 where several may come to one. */
  strangerTokens(letter: number): number;
}

/** Above what the longest tokens of common vocabularies hold, such as 128 spaces. */
const LONG_TOKEN_CHARACTERS = 128;
const SPACE_MARK = '\u2581';

/**
 * Each letter counts as its share of the longest token that it is in, so that no token counts for more than one. Where
 * nobody can say what a text is made into before it is cut, its length alone is looked at.
 */
export function tokenFloorOf(file: TokenizerFile): TokenFloor {
  const tokens = vocabularyOf(file);
  const alphabet = byteAlphabet(file) ?? characterAlphabet(file);
  if (alphabet === null) {
    const longest = tokens.reduce((most, { length }) => Math.max(most, length), LONG_TOKEN_CHARACTERS);
    return (text) => Math.floor(text.length / longest);
  }
  const longest = new Map<number, number>();
  const alone = new Set<number>();
  const note = (letters: readonly number[]): void => {
    for (const letter of letters) longest.set(letter, Math.max(longest.get(letter) ?? 0, letters.length));
    if (letters.length === 1) alone.add(letters[0]!);
  };
  for (const token of tokens) note(alphabet.lettersIn(token));
  for (const { content } of file.added_tokens) note([...alphabet.lettersOf(content)]);
  // Some markers take the spaces beside them away.
  const isTrimmed = file.added_tokens.some(({ lstrip, rstrip }) => lstrip === true || rstrip === true);
  const shares = new Map(
    [...longest].map(([letter, length]) => {
      const most = alone.has(letter) ? 1 : alphabet.strangerTokens(letter);
      return [letter, Math.min(most, 1 / length)];
    }),
  );
  return (text, enough = Infinity) => {
    let sum = 0;
    for (const letter of alphabet.lettersOf(isTrimmed ? text.trim() : text)) {
      sum += shares.get(letter) ?? alphabet.strangerTokens(letter);
      if (sum > enough) break;
    }
    return Math.floor(sum);
  };
}

/** Of a tokenizer like GPT-2's. */
function byteAlphabet({ normalizer, pre_tokenizer: preTokenizer }: TokenizerFile): Alphabet | null {
  const steps = stepsOf(normalizer, 'normalizers');
  const cuts = stepsOf(preTokenizer, 'pretokenizers');
  const isWhole = cuts.every(({ type, behavior, invert }) => {
    if (type === 'ByteLevel' || type === 'Digits') return true;
    return type === 'Split' && invert !== true && behavior !== 'Removed';
  });
  if (!isWhole || cuts.every(({ type }) => type !== 'ByteLevel')) return null;
  if (steps.some(({ type }) => type !== 'NFC')) return null;
  const codes = byteCodes();
  return {
    lettersOf: (text) => utf8(steps.length === 0 ? text : text.normalize('NFC')),
    lettersIn: (token) => [...token].flatMap((letter) => codes.get(letter) ?? []),
    strangerTokens: () => 0,
  };
}

/** The letters that byte-level vocabularies write bytes with: printable Latin-1 as it is, the others from U+0100 on. */
function byteCodes(): Map<string, number> {
  const isPlain = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return new Map(Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(isPlain(byte) ? byte : next++), byte]));
}

/** Of a tokenizer like Llama's first one: characters, with a mark for each space. */
function characterAlphabet(file: TokenizerFile): Alphabet | null {
  const { normalizer, pre_tokenizer: preTokenizer, model } = file;
  const isMark = ({ type, prepend, pattern, content }: Step): boolean =>
    (type === 'Prepend' && prepend === SPACE_MARK) ||
    (type === 'Replace' && content === SPACE_MARK && isObject(pattern) && pattern['String'] === ' ');
  const steps = stepsOf(normalizer, 'normalizers');
  const cuts = stepsOf(preTokenizer, 'pretokenizers');
  if (steps.length + cuts.length === 0 || !steps.every(isMark) || cuts.some(({ type }) => type !== 'Metaspace'))
    return null;
  const hasBytes =
    model['byte_fallback'] === true && ['<0x00>', '<0xFF>'].every((name) => Object.hasOwn(model.vocab, name));
  const lettersOf = function* (text: string): Generator<number> {
    for (const character of text) yield (character === ' ' ? SPACE_MARK : character).codePointAt(0)!;
  };
  return {
    lettersOf,
    lettersIn: (token) => [...lettersOf(token)],
    strangerTokens: (letter) => (hasBytes ? utf8(String.fromCodePoint(letter)).length : 0),
  };
}

interface Step {
  readonly [key: string]: unknown;
}

function isObject(value: unknown): value is Step {
  return typeof value === 'object' && value !== null;
}

/** What is done one after the other, `inner` naming those within a sequence. */
function stepsOf(step: unknown, inner: 'normalizers' | 'pretokenizers'): Step[] {
  if (!isObject(step)) return [];
  const { type, [inner]: within } = step;
  if (type !== 'Sequence' || !Array.isArray(within)) return [step];
  return within.flatMap((each) => stepsOf(each, inner));
}
