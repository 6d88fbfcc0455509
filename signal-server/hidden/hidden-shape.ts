import { MAX_POSITIONS } from '#shared/limits.ts';
import type { AnswerShape } from './answer-shape.ts';

/** Lengths of chats in general. */
const PROMPT_TOKENS = { least: 20, most: 200 };
const ANSWER_TOKENS = { least: 8, most: 64 };
/** Bounds of what a hidden answer may cost, whatever real answers are like. */
const MOST_PROMPT_TOKENS = 1_000;
const MOST_ANSWER_TOKENS = 512;
/** Real answers that are remembered, and how many of them it takes to go by them alone. */
const MAX_REMEMBERED = 256;
const ENOUGH = 32;

/**
 * Draws the forms of hidden answers: like those of the answers that the gateway gave lately, of which it remembers counts
 * and settings and no text; before there are enough of these, like those of chats in general.
 */
export class ShapeMemory {
  readonly #chance: () => number;
  readonly #shapes: AnswerShape[] = [];

  constructor(chance: () => number) {
    this.#chance = chance;
  }

  /** A real answer has ended. Those that would cost too much to imitate are left out. */
  remember(shape: AnswerShape): void {
    if (shape.promptTokens > MOST_PROMPT_TOKENS || shape.answerTokens > MOST_ANSWER_TOKENS) return;
    this.#shapes.push(shape);
    if (this.#shapes.length > MAX_REMEMBERED) this.#shapes.shift();
  }

  draw(): AnswerShape {
    if (this.#chance() < this.#shapes.length / ENOUGH) {
      return this.#shapes[Math.floor(this.#chance() * this.#shapes.length)]!;
    }
    const answerTokens = this.#between(ANSWER_TOKENS.least, ANSWER_TOKENS.most);
    return {
      promptTokens: this.#between(PROMPT_TOKENS.least, PROMPT_TOKENS.most),
      // Clients that leave it out are granted all the room there is.
      maxNewTokens: this.#chance() < 0.5 ? MAX_POSITIONS : answerTokens,
      answerTokens,
      temperature: this.#chance() < 0.3 ? 0 : 1,
      topP: 1,
    };
  }

  /** Short ones are as frequent as long ones: evenly drawn logarithms. */
  #between(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.#chance());
  }
}
