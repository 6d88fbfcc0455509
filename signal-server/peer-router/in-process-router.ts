import type { Clock } from '#shared/clock.ts';
import type { ControlRouter, FromPeer, ToPeer } from './control-router.ts';
import type { Parcel } from './parcel.ts';
import { desksEnd, edgeEnd, MAX_WAITING } from './router-end.ts';
import type { TextLine } from './text-line.ts';

/**
 * For an edge and desks in one process. A message is delivered before `send` returns, as its text, so that the two
 * have no object in common here either.
 */
export function createInProcessRouter(
  clock: Clock,
  maxWaiting = MAX_WAITING,
  [atEdge, atDesks] = createInProcessLines(),
): ControlRouter {
  const options = { clock, maxWaiting };
  // These texts were made a moment ago of values of these very types.
  return {
    edge: edgeEnd(atEdge, (text) => JSON.parse(text) as Parcel<ToPeer>, options),
    desks: desksEnd(atDesks, (text) => JSON.parse(text) as Parcel<FromPeer>, options),
  };
}

/** The two ends of a line that has no length. */
export function createInProcessLines(): [TextLine, TextLine] {
  const a = new InProcessLine(() => b);
  const b: InProcessLine = new InProcessLine(() => a);
  return [a, b];
}

class InProcessLine implements TextLine {
  readonly #other: () => InProcessLine;
  #early: string[] = [];
  #earlyLength = 0;
  #onText: ((text: string) => void) | null = null;
  #onCut: (reason: string) => void = () => undefined;
  #isCut = false;

  constructor(other: () => InProcessLine) {
    this.#other = other;
  }

  get waiting(): number {
    return this.#other().#earlyLength;
  }

  write(text: string): void {
    const other = this.#other();
    if (this.#isCut) return;
    if (other.#onText !== null) return other.#onText(text);
    other.#early.push(text);
    other.#earlyLength += text.length;
  }

  read(onText: (text: string) => void, onCut: (reason: string) => void): void {
    this.#onCut = onCut;
    for (let text = this.#early.shift(); text !== undefined; text = this.#early.shift()) onText(text);
    this.#earlyLength = 0;
    this.#onText = onText;
    if (this.#isCut) onCut('it is gone');
  }

  end(): void {
    this.cut();
  }

  cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    const other = this.#other();
    other.#isCut = true;
    other.#onCut('it is gone');
  }
}
