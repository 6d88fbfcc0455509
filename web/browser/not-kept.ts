/** Why the browser keeps something no longer than the page: it refuses, has no room, does not answer, or fails. */
export type StorageFault = 'denied' | 'full' | 'silent' | 'failed';

/** What was to be kept is not, or cannot be read. Nobody who asks or lends needs it to be. */
export class NotKept extends Error {
  readonly fault: StorageFault;

  constructor(fault: StorageFault, cause?: unknown) {
    super(`not kept: ${fault}`, { cause });
    this.name = 'NotKept';
    this.fault = fault;
  }
}

/** Anything that IndexedDB or the locks of the browser threw. */
export function toNotKept(thrown: unknown): NotKept {
  if (thrown instanceof NotKept) return thrown;
  const name = nameOf(thrown);
  if (name === 'QuotaExceededError') return new NotKept('full', thrown);
  return new NotKept(name === 'SecurityError' ? 'denied' : 'failed', thrown);
}

/** Not every browser still throws a DOMException. */
export function nameOf(thrown: unknown): string {
  return thrown instanceof Error || thrown instanceof DOMException ? thrown.name : '';
}
