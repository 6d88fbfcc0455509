import { ChorusError } from '../errors.ts';
import { MAX_HELD_MESSAGES } from '../limits.ts';
import type { PeerMessage, RowsMessage } from './peer-message.ts';

export type CutMessage = Extract<PeerMessage, { type: 'cut' }>;
export type OrderedMessage = RowsMessage | CutMessage;

/**
 * Puts the rows and cuts of one session into the order their sender meant. Within an epoch rows follow each other
 * without a hole in their positions and their sequence numbers; a cut ends an epoch.
 */
export class RowOrder {
  #epoch = 0;
  #position = 0;
  #lastSequence = -1;
  /** True until the first rows after a cut: rows the cut overtook leave a hole in the sequence numbers. */
  #isAfterCut = false;
  #held: OrderedMessage[] = [];

  /** The position after everything given out so far. */
  get position(): number {
    return this.#position;
  }

  /** How many rows messages have been given out, by their sequence numbers: that after the last one's. */
  get nextSequence(): number {
    return this.#lastSequence + 1;
  }

  /** True while a message waits for one before it. */
  get isWaiting(): boolean {
    return this.#held.length > 0;
  }

  /**
   * Takes one message and gives out all that are now in order. Doubled messages and those of older epochs are dropped.
   * Throws `gap` if rows do not follow each other, or too many wait.
   */
  accept(message: OrderedMessage): OrderedMessage[] {
    const place = this.#placeOf(message);
    if (place === 'early') this.#hold(message);
    if (place !== 'next') return [];
    const ordered: OrderedMessage[] = [];
    let next: OrderedMessage | undefined = message;
    while (next !== undefined) {
      this.#step(next);
      ordered.push(next);
      this.#held = this.#held.filter((held) => this.#placeOf(held) !== 'stale');
      next = this.#held.find((held) => this.#placeOf(held) === 'next');
      this.#held = this.#held.filter((held) => held !== next);
    }
    return ordered;
  }

  #placeOf(message: OrderedMessage): 'stale' | 'next' | 'early' {
    if (message.epoch < this.#epoch) return 'stale';
    if (message.type === 'cut') {
      if (message.epoch === this.#epoch) return 'stale';
      return message.epoch === this.#epoch + 1 && message.position <= this.#position ? 'next' : 'early';
    }
    if (message.sequence <= this.#lastSequence) return 'stale';
    if (message.epoch > this.#epoch) return 'early';
    const { start } = message.rows;
    const mayBeNext = this.#isAfterCut || message.sequence === this.#lastSequence + 1;
    const mayBeEarly = this.#isAfterCut || message.sequence > this.#lastSequence + 1;
    if (start === this.#position && mayBeNext) return 'next';
    if (start > this.#position && mayBeEarly) return 'early';
    throw new ChorusError('gap', `rows ${message.sequence} begin at ${start}, not at ${this.#position}`);
  }

  #step(message: OrderedMessage): void {
    if (message.type === 'cut') {
      this.#epoch = message.epoch;
      this.#position = message.position;
      this.#isAfterCut = true;
    } else {
      this.#position = message.rows.start + message.rows.count;
      this.#lastSequence = message.sequence;
      this.#isAfterCut = false;
    }
  }

  #hold(message: OrderedMessage): void {
    const isHeld = this.#held.some(
      (held) =>
        held.type === message.type &&
        held.epoch === message.epoch &&
        (held.type === 'cut' || message.type === 'cut' || held.sequence === message.sequence),
    );
    if (isHeld) return;
    if (this.#held.length === MAX_HELD_MESSAGES) throw new ChorusError('gap', 'messages before these never came');
    this.#held.push(message);
  }
}
