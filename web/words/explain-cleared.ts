import { ChorusError } from '#shared/errors.ts';
import type { Cleared } from '../state/kept-files.svelte.ts';
import { sentenceOf } from './explain-error.ts';
import { formatBytes } from './format.ts';

/** How clearing the files that are kept ended, in a sentence. */
export function explainCleared(cleared: Cleared | ChorusError): string {
  if (cleared instanceof ChorusError) return sentenceOf(cleared);
  const { removedBytes, leftBytes } = cleared;
  if (removedBytes === 0) return leftBytes === 0 ? 'There was nothing to clear.' : 'All of it is in use now.';
  const removed = `Cleared ${formatBytes(removedBytes)}.`;
  return leftBytes === 0 ? removed : `${removed} The rest is in use now.`;
}
