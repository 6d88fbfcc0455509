/** Tokens as text, special ones left out. */
export type Decode = (tokens: readonly number[]) => string;

const REPLACEMENT = '\uFFFD';
/** A character has at most four bytes, and so at most four tokens; a longer wait is for bytes that are no UTF-8. */
const MAX_WAITING = 8;

/**
 * Decodes tokens as they come. A token's text depends on those before it (a leading space, the other bytes of a
 * character), so a short tail is decoded again with each; what still ends in half a character waits.
 */
export class TokenDecoder {
  readonly #decode: Decode;
  /** Tokens whose text is out but which the next ones may need, then those whose text is not. */
  #tail: number[] = [];
  #doneCount = 0;
  #doneText = '';

  constructor(decode: Decode) {
    this.#decode = decode;
  }

  /** The text that is certain with this token. */
  push(token: number): string {
    this.#tail.push(token);
    const text = this.#decode(this.#tail);
    const waiting = this.#tail.length - this.#doneCount;
    if (text.endsWith(REPLACEMENT) && waiting < MAX_WAITING) return '';
    return this.#advance(text);
  }

  /** The text that still waited, once no token follows. */
  end(): string {
    return this.#advance(this.#decode(this.#tail));
  }

  #advance(text: string): string {
    const added = text.slice(this.#doneText.length);
    this.#tail = this.#tail.slice(this.#doneCount);
    this.#doneCount = this.#tail.length;
    this.#doneText = this.#decode(this.#tail);
    return added;
  }
}
