import { ChorusError } from '../errors.ts';
import type { TextWriter } from './model-text.ts';
import { RewindableWriter } from './rewindable-writer.ts';

/** One answer's text while its tokens come and may be taken back; it is shown only when the caller says so. */
export class ShownText {
  readonly #writer: RewindableWriter;
  readonly #tokens: number[] = [];
  /** The text that became certain with each token. */
  readonly #pieces: string[] = [];
  readonly #shown: number[] = [];

  constructor(createWriter: () => TextWriter) {
    this.#writer = new RewindableWriter(createWriter);
  }

  /** Tokens so far. */
  get count(): number {
    return this.#tokens.length;
  }

  /** Takes the next token. Throws `retracted` if another one was shown in its place. */
  push(token: number): void {
    const index = this.#tokens.length;
    if (index < this.#shown.length && this.#shown[index] !== token) throw retracted();
    this.#tokens.push(token);
    this.#pieces.push(this.#writer.push(index, token));
  }

  /** Takes back all but the first `count` tokens, shown or not. */
  cut(count: number): void {
    this.#tokens.splice(Math.max(0, count));
    this.#pieces.length = this.#tokens.length;
    this.#writer.rewind(count);
  }

  /** The text that the first `count` tokens make certain, less what was shown before. */
  show(count: number): string {
    const from = this.#shown.length;
    if (count <= from) return '';
    this.#shown.push(...this.#tokens.slice(from, count));
    return this.#pieces.slice(from, count).join('');
  }

  /** The rest, once no token follows. Throws `retracted` if more was shown than there is. */
  end(): string {
    if (this.#shown.length > this.#tokens.length) throw retracted();
    return this.show(this.#tokens.length) + this.#writer.end();
  }
}

function retracted(): ChorusError {
  return new ChorusError('retracted', 'Text that was given out before its check turned out to be wrong. Ask again.');
}

/** Whether an answer, asked about with each of its tokens, has come to a stop string of `createWriter`. */
export function endsAtStop(createWriter: () => TextWriter): (answer: readonly number[]) => boolean {
  const writer = new RewindableWriter(createWriter);
  return (answer) => {
    const index = answer.length - 1;
    writer.rewind(index);
    writer.push(index, answer[index]!);
    return writer.isStopped;
  };
}
