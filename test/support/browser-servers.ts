import type { TestProject } from 'vitest/node';

/** Starts what browser tests talk to and tells them where it is; returns how to stop it. */
export function setup(_project: TestProject): () => Promise<void> {
  return () => Promise.resolve();
}
