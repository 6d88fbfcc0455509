import type { ContextFit } from '../conversations/fit-context.ts';
import { formatCount, plural } from './format.ts';

export interface FitText {
  /** `fine`, `short` where the answer will be cut off sooner than was set, `over` where nothing can be asked. */
  readonly tone: 'fine' | 'short' | 'over';
  /** How much is used, in a few words. */
  readonly text: string;
  /** The trouble, and what to do; null where there is none. */
  readonly warning: string | null;
}

/** Answers shorter than this are hardly any. */
const FEW_TOKENS = 64;

/** How a question fits into what the model reads. */
export function explainFit({ promptTokens, maxPositions, room, offer }: ContextFit, maxNewTokens: number): FitText {
  const most = formatCount(maxPositions);
  if (room === 0) {
    const text = `Over ${most} tokens`;
    const where = offer === null ? 'Shorten the question' : 'Leave out the oldest turns, or shorten the question';
    return { tone: 'over', text, warning: `The model reads ${most} tokens, its answer included. ${where}.` };
  }
  const text = `${formatCount(promptTokens)} of ${most} tokens`;
  if (room >= Math.min(maxNewTokens, FEW_TOKENS)) return { tone: 'fine', text, warning: null };
  return { tone: 'short', text, warning: `Only ${plural(room, 'token')} are left for the answer.` };
}
