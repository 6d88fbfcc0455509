/** Tokens as text. */
export type Decode = (tokens: readonly number[]) => string;

const REPLACEMENT = '\uFFFD';
/** A character has at most four bytes, so with this many tokens none begins before them and ends after. */
const CONTEXT_TOKENS = 8;

/** The text of tokens as far as none that follow can change it: bytes at the end that are no character may yet become one. */
function certainIn(text: string): string {
  return text.endsWith(REPLACEMENT) ? text.slice(0, -REPLACEMENT.length) : text;
}

/**
 * What `tokens` add to the text of those `before` them: what both together come to, less what was certain before. A decoder
 * may treat a text's beginning in a way of its own, as those of SentencePiece drop its first space.
 */
export function decodeAfter(decode: Decode, tokens: readonly number[], before: readonly number[]): string {
  const context = before.slice(-CONTEXT_TOKENS);
  return decode([...context, ...tokens]).slice(certainIn(decode(context)).length);
}

/** Decodes tokens as they come: in pieces the very text that `decodeAfter` gives for all of them. None may be without text. */
export class TokenDecoder {
  readonly #decode: Decode;
  /** The last tokens, of which some were before the first. */
  #window: number[];
  /** Characters of the window's text that are out already. */
  #given: number;

  constructor(decode: Decode, before: readonly number[]) {
    this.#decode = decode;
    this.#window = before.slice(-CONTEXT_TOKENS);
    this.#given = certainIn(decode(this.#window)).length;
  }

  /** The text that is certain with this token. */
  push(token: number): string {
    this.#window.push(token);
    const added = this.#give(certainIn(this.#decode(this.#window)));
    if (this.#window.length > 2 * CONTEXT_TOKENS) {
      this.#window = this.#window.slice(-CONTEXT_TOKENS);
      this.#given = certainIn(this.#decode(this.#window)).length;
    }
    return added;
  }

  /** The text that still waited, once no token follows. */
  end(): string {
    return this.#give(this.#decode(this.#window));
  }

  #give(text: string): string {
    const added = text.slice(this.#given);
    this.#given = text.length;
    return added;
  }
}
