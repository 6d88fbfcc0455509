import { ChorusError } from '../../errors.ts';

/** What was given does not fit the receipt, so that there is nothing to compare. */
export function badReplay(reason: string, details: Readonly<Record<string, unknown>> = {}): ChorusError {
  return new ChorusError('bad-message', `the answer cannot be computed again: ${reason}`, details);
}
