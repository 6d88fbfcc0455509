import { ChorusError } from '../errors.ts';
import type { Span } from '../judge/statement.ts';

/** A span that was given out, and what cuts have left of it. */
interface PlacedSpan {
  readonly span: Span;
  keptEnd: number;
  /** Challenged before any cut went into it: its remaining positions are judged. */
  isChallenged: boolean;
}

/**
 * Puts the checks of one session into the order in which its requester closed the spans. These lie end to end. A cut makes
 * void those that end after it, except one that it goes into and that was challenged before: the rest of that one
 * stays, and the next one begins at the cut and not where that one began. A replica may hear of the challenge only after
 * that next check, which waits then.
 */
export class SpanOrder {
  readonly #mayBeginAnywhere: boolean;
  #epoch = 0;
  /** Cuts so far, without those that a later one made pointless: both numbers rise. */
  #cuts: { readonly epoch: number; readonly position: number }[] = [];
  readonly #held = new Map<number, Span>();
  /** Given out and not known to be void, end to end. */
  #placed: PlacedSpan[] = [];
  /** Epoch and index of the last span given out. */
  #last: Pick<Span, 'epoch' | 'index'> = { epoch: 0, index: 0 };

  /** `mayBeginAnywhere` if the first span need not begin at position 0. */
  constructor(mayBeginAnywhere: boolean) {
    this.#mayBeginAnywhere = mayBeginAnywhere;
  }

  get lastIndex(): number {
    return this.#last.index;
  }

  /** Checks that wait for one before them, or for their epoch. */
  get waiting(): number {
    return this.#held.size;
  }

  /** No span still to come begins before this position, unless a cut to come goes there. */
  get nextFrom(): number {
    const last = this.#placed.at(-1);
    if (last === undefined) return 0;
    return last.isChallenged || last.keptEnd === last.span.end ? last.keptEnd : last.span.start;
  }

  /** False for a check that came before, or is void. */
  isWanted(span: Span): boolean {
    return span.index > this.#last.index && !this.#held.has(span.index) && !this.#isVoid(span);
  }

  hold(span: Span): void {
    this.#held.set(span.index, span);
  }

  /** The next span, if its check is here; null if there is none. Throws `bad-message` for one that lies where none can. */
  take(): Span | null {
    // Once the cuts up to its epoch are known, so is every span before it that is void.
    const due = [...this.#held.values()].filter(({ epoch }) => epoch <= this.#epoch);
    const first = due.sort((a, b) => a.index - b.index)[0];
    if (first === undefined || !this.#isNext(first)) return null;
    this.#place(first);
    return first;
  }

  #isNext({ epoch, index, start }: Span): boolean {
    const last = this.#placed.at(-1);
    const isNextNumber = index === this.#last.index + 1;
    const isAnywhere = last === undefined && this.#mayBeginAnywhere;
    // No number is left for a span in place of the one that was cut into: that one was challenged.
    const isAfterCut = start === last?.keptEnd && isNextNumber;
    const isNext = isAnywhere || start === this.nextFrom || isAfterCut;
    if (epoch < this.#last.epoch || (!isNext && (isNextNumber || start < this.nextFrom))) {
      throw new ChorusError('bad-message', `chunk ${index} does not follow the one before it`);
    }
    return isNext;
  }

  #place(span: Span): void {
    const last = this.#placed.at(-1);
    if (last !== undefined && span.start < last.keptEnd) this.#placed.pop();
    else if (last !== undefined && last.keptEnd < last.span.end) last.isChallenged = true;
    this.#placed.push({ span, keptEnd: span.end, isChallenged: false });
    this.#last = span;
    for (const index of this.#held.keys()) if (index <= span.index) this.#held.delete(index);
  }

  /** A cut takes effect. */
  cut(epoch: number, position: number): void {
    this.#epoch = epoch;
    this.#cuts = [...this.#cuts.filter((cut) => cut.position < position), { epoch, position }];
    this.#placed = this.#placed.filter(({ span }) => span.start < position);
    const last = this.#placed.at(-1);
    if (last !== undefined) last.keptEnd = Math.min(last.keptEnd, position);
    for (const [index, span] of this.#held) if (this.#isVoid(span)) this.#held.delete(index);
  }

  /** The challenge of a span has come. */
  challenged(index: number): void {
    const placed = this.#find(index);
    if (placed !== undefined) placed.isChallenged = true;
  }

  /** False for a span given out that is known to be void: nobody wants it any more. */
  isPlaced(index: number): boolean {
    return this.#find(index) !== undefined;
  }

  #find(index: number): PlacedSpan | undefined {
    return this.#placed.find(({ span }) => span.index === index);
  }

  #isVoid(span: Span): boolean {
    return this.#cuts.some((cut) => cut.epoch > span.epoch && cut.position < span.end);
  }
}
