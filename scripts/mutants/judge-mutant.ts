import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Importers } from './importers.ts';
import type { Place, Result } from './mutant.ts';
import { mutate, replacementFor } from './mutations.ts';
import type { TestProcess } from './test-process.ts';

/** The means to run a mutant. */
export interface Bench {
  readonly root: string;
  readonly tests: TestProcess;
  readonly importers: Importers;
  /** Test files for one mutant at most. */
  readonly most: number;
  /** Whether each test file passes where nothing is changed, as far as is known. */
  readonly sound: Map<string, boolean>;
}

/** Writes the mutant, runs the tests nearest to its file until one fails, and writes back what was there. */
export async function judge(bench: Bench, { place, how }: { place: Place; how: Result['found'] }): Promise<Result> {
  const { file } = place.mutant;
  const beganMs = performance.now();
  const tests = bench.importers.testsOf(file, bench.most);
  const result = (status: Result['status'], ran: readonly string[]): Result => ({
    status,
    at: `${file}:${place.line}`,
    found: how,
    tests: ran,
    seconds: Math.round((performance.now() - beganMs) / 100) / 10,
    instead: null,
  });
  let left = tests;
  while (left.length > 0) {
    const ran = await withMutant(bench, place, left);
    if (ran.type === 'timeout') return result('timeout', tests);
    if (ran.type === 'passed') return result('survived', tests);
    if (await isSound(bench, ran.test)) return result('killed', tests.slice(0, tests.indexOf(ran.test) + 1));
    // One that fails anyway says nothing of the mutant.
    left = left.slice(left.indexOf(ran.test) + 1);
  }
  return result(tests.length === 0 ? 'untested' : 'survived', tests);
}

async function withMutant(
  { root, tests }: Bench,
  place: Place,
  run: readonly string[],
): ReturnType<TestProcess['run']> {
  const { file } = place.mutant;
  const path = join(root, file);
  const text = readFileSync(path, 'utf8');
  const put = (content: string): void => {
    write(path, content);
    tests.changed(file);
  };
  const restore = (): void => put(text);
  const stop = (): void => {
    restore();
    tests.stop();
    process.exit(130);
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  put(mutate(text, place, replacementFor(text, place)));
  try {
    return await tests.run(run);
  } finally {
    restore();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

async function isSound({ tests, sound }: Bench, test: string): Promise<boolean> {
  const known = sound.get(test);
  if (known !== undefined) return known;
  const passes = (await tests.run([test])).type === 'passed';
  sound.set(test, passes);
  return passes;
}

/** A new file in place of the old one, which may be linked to from another folder. */
function write(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
