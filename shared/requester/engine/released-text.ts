import { ChorusError } from '../../errors.ts';
import type { TextWriter } from '../../text/model-text.ts';
import { ShownText } from '../../text/shown-text.ts';
import type { AnswerEvent } from '../answer-event.ts';
import { CheckSummary } from './check-summary.ts';

/**
 * When text is given out: with the verdict on its tokens, or at once; `whole`: all of it at the end. Where a route has no
 * second replica of anything, there is no verdict that `checked` could wait for, and text goes at once.
 */
export type TextRelease = 'checked' | 'early' | 'whole';

/** The text of one answer as far as it may be given out. */
export class ReleasedText {
  readonly summary = new CheckSummary();
  readonly #text: ShownText;
  readonly #promptLength: number;
  readonly #release: TextRelease;
  #hasShadows = true;

  constructor(createWriter: () => TextWriter, promptLength: number, release: TextRelease) {
    this.#text = new ShownText(createWriter);
    this.#promptLength = promptLength;
    this.#release = release;
  }

  /**
   * The text to give out with this event of `Conversation.generate`, each in its turn. Throws `retracted` if text that was
   * given out is not the answer's, and `check-failed` for an answer that nobody could settle.
   */
  take(event: AnswerEvent): string {
    this.summary.add(event);
    if (event.type === 'routed') this.#hasShadows = event.route.stages.some(({ shadows }) => shadows.length > 0);
    if (event.type === 'token') this.#text.push(event.token);
    if (event.type === 'rerouted' || event.type === 'redrawn') this.#text.cut(event.from - this.#promptLength);
    if (event.type === 'end') {
      if (event.tier === 'disputed') throw disputed();
      return this.#text.end();
    }
    return this.#text.show(this.#countShown());
  }

  #countShown(): number {
    if (this.#release === 'whole') return 0;
    if (this.#release === 'early' || !this.#hasShadows) return this.#text.count;
    return this.summary.checkedEnd + 1 - this.#promptLength;
  }
}

function disputed(): ChorusError {
  return new ChorusError('check-failed', 'The volunteers differ and nobody could settle who is right. Ask again.');
}
