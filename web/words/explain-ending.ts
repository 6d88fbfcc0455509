import type { ShownAnswer } from '../state/conversation/answer.svelte.ts';
import { plural } from './format.ts';

/** Why an answer is not longer than it is; null while it is made, and where the model came to an end. */
export function explainEnding(
  answer: Pick<ShownAnswer, 'phase' | 'endReason' | 'text' | 'tokens' | 'promptTokens'>,
): string | null {
  const { phase, endReason, text, tokens, promptTokens } = answer;
  if (phase !== 'done') return null;
  const isEmpty = text === '';
  switch (endReason) {
    case 'cancelled':
      return isEmpty ? 'Stopped before the first word.' : 'Stopped.';
    case 'interrupted':
      return isEmpty
        ? 'The page was left before the first word came.'
        : 'The page was left while this was being written. This is what had come by then.';
    case 'length':
      return 'Cut off at the longest length set.';
    case 'context': {
      const read = promptTokens === null ? '' : `, all ${plural(promptTokens + tokens, 'token')} of it`;
      return `Cut off: question and answer together fill what the model can read${read}.`;
    }
    default:
      return isEmpty ? 'The model had nothing to say.' : null;
  }
}
