import type { TextWriter } from './model-text.ts';

/**
 * Turns an answer's tokens into text when some of them may be taken back and come again. Text that `push` returned for
 * tokens that are kept stays as it was: a token's text depends only on the tokens before it.
 */
export class RewindableWriter {
  readonly #create: () => TextWriter;
  #writer: TextWriter;
  #kept: { readonly position: number; readonly token: number }[] = [];

  constructor(create: () => TextWriter) {
    this.#create = create;
    this.#writer = create();
  }

  /** True once a stop string has come. */
  get isStopped(): boolean {
    return this.#writer.isStopped;
  }

  /** The text that is certain with this token. */
  push(position: number, token: number): string {
    this.#kept.push({ position, token });
    return this.#writer.push(token);
  }

  /** Forgets the tokens at positions >= `from`; the next one comes in their place. */
  rewind(from: number): void {
    const kept = this.#kept.filter(({ position }) => position < from);
    if (kept.length === this.#kept.length) return;
    this.#kept = kept;
    this.#writer = this.#create();
    for (const { token } of kept) this.#writer.push(token);
  }

  /** The text that was held back, once no token follows. */
  end(): string {
    return this.#writer.end();
  }
}
