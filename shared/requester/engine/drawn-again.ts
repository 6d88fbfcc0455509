import type { Candidates } from '../../rows/logits-row.ts';
import { sampleToken } from '../../rows/sampler.ts';
import type { Lap } from '../feed/returns.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Answer } from './answer.ts';

/** What a lap comes to: logits of the answer's last token, `waiting` for others, or a token that others do not draw. */
export type AgainOutcome = Candidates | 'waiting' | 'differs';

/** Draws tokens again that were drawn in a session that is gone, from the logits that their new session gives for them. */
export class DrawnAgain {
  /** Logits, by position. */
  readonly #rows = new Map<number, Candidates>();

  forget(): void {
    this.#rows.clear();
  }

  /**
   * Takes a lap. Once the logits of all such tokens are here, each is drawn again; where another is drawn than there was,
   * the answer loses that one and all after it.
   */
  take(session: LiveSession, answer: Answer, { candidates, end }: Lap): AgainOutcome {
    const { history, sampling } = answer;
    // Only the last position of the history has its token drawn.
    if (!answer.isDrawingAgain) return end < history.length ? 'waiting' : (candidates.at(-1) ?? 'waiting');
    candidates.forEach((each, i) => this.#rows.set(end - candidates.length + i, each));
    for (let at = answer.drawnEnd - 1; at < history.length; at++) if (!this.#rows.has(at)) return 'waiting';
    for (let position = answer.drawnEnd; position < history.length; position++) {
      const { token } = sampleToken(this.#rows.get(position - 1)!, sampling, position);
      session.drew(token, position, sampling);
      if (token === history[position]) continue;
      answer.drawnAgain(position);
      return 'differs';
    }
    answer.drawnAgain(history.length);
    const last = this.#rows.get(history.length - 1)!;
    this.forget();
    return last;
  }
}
