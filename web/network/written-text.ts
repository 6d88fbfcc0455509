import type { TextWriter } from '#shared/text/model-text.ts';
import { RewindableWriter } from '#shared/text/rewindable-writer.ts';

/** The text of an answer as it is shown piece by piece, and as a whole: what its receipt is about. */
export class WrittenText {
  readonly #writer: RewindableWriter;
  #pieces: { readonly position: number; readonly text: string }[] = [];
  #last = '';

  constructor(createWriter: () => TextWriter) {
    this.#writer = new RewindableWriter(createWriter);
  }

  get text(): string {
    return this.#pieces.map(({ text }) => text).join('') + this.#last;
  }

  /** The text that is certain with this token. */
  push(position: number, token: number): string {
    const text = this.#writer.push(position, token);
    this.#pieces.push({ position, text });
    return text;
  }

  /** The texts of the tokens at positions >= `from` are taken back. */
  rewind(from: number): void {
    this.#writer.rewind(from);
    this.#pieces = this.#pieces.filter(({ position }) => position < from);
  }

  /** The text that was held back, once no token follows. */
  end(): string {
    this.#last = this.#writer.end();
    return this.#last;
  }
}
