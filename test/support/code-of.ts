import { ChorusError } from '#shared/errors.ts';

/** The code of the ChorusError that `action` throws, `no error` if it returns; anything else is thrown on. */
export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return chorusCode(error);
  }
  return 'no error';
}

/** As codeOf, for a promise. */
export async function codeOfAsync(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'no error', chorusCode);
}

function chorusCode(error: unknown): string {
  if (error instanceof ChorusError) return error.code;
  throw error;
}
