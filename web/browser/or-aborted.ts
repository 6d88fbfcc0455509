import { ChorusError } from '#shared/errors.ts';

/** The outcome of `promise`; rejects with `cancelled` if `signal` aborts first, which leaves the work to others. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new ChorusError('cancelled', 'no longer wanted'));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
