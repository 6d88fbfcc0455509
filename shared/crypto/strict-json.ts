import { ChorusError } from '../errors.ts';

/** Objects and lists within each other. Nothing of ours is half as deep. */
export const MAX_JSON_DEPTH = 64;

const HALF_CHARACTER = /\p{Cs}/u;
const SCALAR = /[-+.\w]*/y;

/**
 * The value of JSON in UTF-8 bytes, of which every reader makes the same: no byte order mark, no key of an object twice
 * (whatever escapes it is written with), no half of a surrogate pair, no whole number that a double cannot tell from its neighbours,
 * no number that is none, at most MAX_JSON_DEPTH levels. Throws `bad-message`, with the fault as message.
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw bad('it is not UTF-8');
  }
  return parseStrictText(text);
}

/** As `parseStrictJson`, of a text that was decoded with its byte order mark. */
export function parseStrictText(text: string): unknown {
  if (text.startsWith('\ufeff')) throw bad('a byte order mark stands before it');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad('it is not JSON');
  }
  // From here on the grammar is known to be right.
  new Scan(text).value(0);
  return value;
}

/** One pass over the text, for what `JSON.parse` lets through. */
class Scan {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): void {
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === '{') this.#object(depth + 1);
    else if (first === '[') this.#list(depth + 1);
    else if (first === '"') this.#string();
    else this.#scalar();
    this.#skipSpace();
  }

  #object(depth: number): void {
    const keys = new Set<string>();
    this.#enter(depth);
    while (this.#text[this.#at] !== '}') {
      this.#skipSpace();
      const key = this.#string();
      if (keys.has(key)) throw bad(`the key ${JSON.stringify(key.slice(0, 60))} stands twice in one object`);
      keys.add(key);
      this.#skipSpace();
      this.#at += 1;
      this.value(depth);
      this.#skipComma();
    }
    this.#at += 1;
  }

  #list(depth: number): void {
    this.#enter(depth);
    while (this.#text[this.#at] !== ']') {
      this.value(depth);
      this.#skipComma();
    }
    this.#at += 1;
  }

  #enter(depth: number): void {
    if (depth > MAX_JSON_DEPTH) throw bad(`it has more than ${MAX_JSON_DEPTH} levels`);
    this.#at += 1;
    this.#skipSpace();
  }

  #skipComma(): void {
    if (this.#text[this.#at] === ',') this.#at += 1;
  }

  #skipSpace(): void {
    while (this.#text.charCodeAt(this.#at) <= 0x20) this.#at += 1;
  }

  #string(): string {
    const start = this.#at;
    let end = this.#text.indexOf('"', start + 1);
    while (this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1);
    this.#at = end + 1;
    const written = this.#text.slice(start + 1, end);
    const text = written.includes('\\') ? (JSON.parse(`"${written}"`) as string) : written;
    if (HALF_CHARACTER.test(text)) throw bad('a text in it has half of a surrogate pair');
    return text;
  }

  #isEscaped(end: number): boolean {
    let from = end;
    while (this.#text[from - 1] === '\\') from -= 1;
    return (end - from) % 2 === 1;
  }

  #scalar(): void {
    SCALAR.lastIndex = this.#at;
    const [written] = SCALAR.exec(this.#text)!;
    this.#at += written.length;
    if (!/^[tfn]/.test(written)) checkNumber(written);
  }
}

function checkNumber(written: string): void {
  const number = Number(written);
  if (!Number.isFinite(number)) throw bad('a number in it is larger than any double');
  const isWhole = /^-?\d+$/.test(written);
  if (isWhole && !Number.isSafeInteger(number)) throw bad('a whole number in it lies beyond 2^53 - 1');
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', reason);
}
