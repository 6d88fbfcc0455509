import { afterAll, beforeAll } from 'vitest';
import { startReference, type Reference } from '../../signal-server/import/probe/reference-thread.ts';

/** A thread that computes the probes of all models that a test file imports, so that the runtime is compiled once for them. */
export function sharedReference(): Reference {
  let reference: Reference;
  beforeAll(() => {
    reference = startReference();
  });
  afterAll(() => reference.stop());
  return { compute: (request) => reference.compute(request), stop: () => reference.stop() };
}
