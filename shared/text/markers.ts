import type { PromptPiece } from './prompt.ts';

/** Low surrogates without their first half are in no text: here they stand for markers, two for each. */
const MARKER = 0xdd00;
const HIDDEN = 0xdc00;
const SECOND = 0xde00;
const MOST_MARKERS = 0x10000;
const HALF_CHARACTERS = /\p{Cs}/gu;

/** A text as UTF-8 can have it, with U+FFFD for half a character. */
export function wellFormed(text: string): string {
  return text.replaceAll(HALF_CHARACTERS, '\uFFFD');
}

/** The markers of a model, told from characters that spell them by names that no text has. */
export class Markers {
  readonly #texts: readonly string[];
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #names: ReadonlySet<string>;
  /** A marker that is spelt; the longest where several begin alike. */
  readonly #spelt: RegExp | null;
  /** A marker that is spelt, or one that `hide` hid. */
  readonly #either: RegExp;

  constructor(texts: readonly string[]) {
    const known = [...new Set(texts)].filter((text) => text !== '');
    if (known.length > MOST_MARKERS)
      throw new RangeError(`${known.length} markers; at most ${MOST_MARKERS} are told apart`);
    this.#texts = known;
    this.#numbers = new Map(known.map((text, i) => [text, i]));
    this.#names = new Set(known.map((_, i) => nameFrom(MARKER, i)));
    const spelt = [...known]
      .sort((a, b) => b.length - a.length)
      .map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
      .join('|');
    this.#spelt = spelt === '' ? null : new RegExp(spelt, 'gu');
    this.#either = new RegExp(`[\\uDC00-\\uDCFF][\\uDE00-\\uDEFF]${spelt && `|${spelt}`}`, 'gu');
  }

  /** The name of a marker inside the tokenizer; any other text as it is. */
  nameOf(text: string): string {
    const number = this.#numbers.get(text);
    return number === undefined ? text : nameFrom(MARKER, number);
  }

  isName(token: string): boolean {
    return this.#names.has(token);
  }

  /** A text in which nothing spells a marker, for a template that writes markers around it. */
  hide(text: string): string {
    const whole = wellFormed(text);
    if (this.#spelt === null) return whole;
    return whole.replaceAll(this.#spelt, (spelt) => nameFrom(HIDDEN, this.#numbers.get(spelt)!));
  }

  /** The pieces of a text: what spells a marker is one, except where `hide` hid it. */
  split(text: string): PromptPiece[] {
    const pieces: PromptPiece[] = [];
    let [characters, from] = ['', 0];
    for (const { 0: found, index } of text.matchAll(this.#either)) {
      characters += text.slice(from, index);
      from = index + found.length;
      const hidden = this.#hiddenBy(found);
      characters += hidden ?? '';
      if (hidden !== null) continue;
      if (characters !== '') pieces.push({ text: characters, isMarker: false });
      pieces.push({ text: found, isMarker: true });
      characters = '';
    }
    characters += text.slice(from);
    if (characters !== '') pieces.push({ text: characters, isMarker: false });
    return pieces;
  }

  /** The text of pieces as the tokenizer is to read it. */
  join(pieces: readonly PromptPiece[]): string {
    return pieces.map(({ text, isMarker }) => (isMarker ? this.nameOf(text) : wellFormed(text))).join('');
  }

  #hiddenBy(name: string): string | null {
    const [first, second] = [name.charCodeAt(0), name.charCodeAt(1)];
    if (name.length !== 2 || first < HIDDEN || first >= MARKER) return null;
    return this.#texts[((first - HIDDEN) << 8) | (second - SECOND)] ?? '';
  }
}

function nameFrom(first: number, number: number): string {
  return String.fromCharCode(first + (number >> 8), SECOND + (number & 0xff));
}
