import type { SpanCheck, Tier } from '#shared/judge/finding.ts';

/** A stretch of an answer's text that has one verdict, or none yet. */
export interface TextPart {
  /** Position of its first token; stays the same while the part waits for its verdict and when it gets it. */
  readonly start: number;
  /** After the position of its last token. */
  readonly end: number;
  readonly text: string;
  /** Null while the verdict is to come. */
  readonly tier: Tier | null;
}

/** Tokens at positions [start, end) have this verdict. */
interface Mark {
  readonly start: number;
  readonly end: number;
  readonly tier: Tier;
}

/** An answer's text by token, since tokens may be taken back, and get their verdicts later than they come. */
export class AnswerText {
  #pieces: { readonly position: number; readonly text: string }[] = [];
  #marks: Mark[] = [];

  get tokens(): number {
    return this.#pieces.length;
  }

  /** Tokens without a verdict. */
  get waiting(): number {
    const marked = this.#marks.at(-1)?.end ?? 0;
    return this.#pieces.length - this.#pieces.findLastIndex(({ position }) => position < marked) - 1;
  }

  push(position: number, text: string): void {
    this.#pieces.push({ position, text });
  }

  /** Text that was held back until the end; it belongs to the last token. */
  append(text: string): void {
    const last = this.#pieces.pop();
    if (last !== undefined) this.#pieces.push({ ...last, text: last.text + text });
  }

  /** Takes tokens at positions >= `from` back, with the verdicts on them. */
  withdraw(from: number): void {
    this.#pieces = this.#pieces.filter(({ position }) => position < from);
    this.#marks = this.#marks
      .map((mark) => ({ ...mark, end: Math.min(mark.end, from) }))
      .filter(({ start, end }) => start < end);
  }

  /** Takes a verdict. Tokens that have one keep it: another route computes again what was checked on the one before. */
  mark({ start, end, tier }: Pick<SpanCheck, 'start' | 'end' | 'tier'>): void {
    const marked = this.#marks.at(-1)?.end ?? 0;
    // Each token is sampled from the row before it.
    const mark = { start: Math.max(start + 1, marked), end: end + 1, tier };
    if (mark.start < mark.end) this.#marks.push(mark);
  }

  /** Takes the verdicts of the answer's receipt in place of those that came before. */
  judge(spans: readonly Pick<SpanCheck, 'start' | 'end' | 'tier'>[]): void {
    this.#marks = [];
    for (const span of spans) this.mark(span);
  }

  /** No verdict will come any more: what has none stays unchecked. */
  close(): void {
    const [marked, end] = [this.#marks.at(-1)?.end ?? 0, (this.#pieces.at(-1)?.position ?? -1) + 1];
    if (marked < end) this.#marks.push({ start: marked, end, tier: 'unchecked' });
  }

  /** The text in order; one part for each verdict, and one for what waits. */
  parts(): TextPart[] {
    const parts: TextPart[] = [];
    let [index, before]: [number, Mark | undefined] = [0, undefined];
    for (const { position, text } of this.#pieces) {
      while ((this.#marks[index]?.end ?? Infinity) <= position) index++;
      const mark = this.#marks[index];
      const last = parts.at(-1);
      if (last !== undefined && mark === before) {
        parts[parts.length - 1] = { ...last, end: position + 1, text: last.text + text };
      } else {
        parts.push({ start: position, end: position + 1, text, tier: mark?.tier ?? null });
      }
      before = mark;
    }
    return parts;
  }
}
