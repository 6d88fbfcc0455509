import { ChorusError } from '#shared/errors.ts';
import { explainFileError, hasToBeSetRight } from './explain-error.ts';
import { UsageError } from './usage-error.ts';

/** What `opening` gives, of a folder that --data names; throws UsageError where that cannot be used. */
export async function openFolder<Value>(folder: string, opening: Promise<Value>): Promise<Value> {
  try {
    return await opening;
  } catch (error) {
    // Says already which file of the folder is meant, and what to do.
    if (hasToBeSetRight(error)) throw error;
    const reason = explainFileError(error) ?? (error instanceof ChorusError ? error.message : null);
    if (reason === null) throw error;
    throw new UsageError(`the data folder ${folder} cannot be used: ${reason}. Name another with --data`);
  }
}
