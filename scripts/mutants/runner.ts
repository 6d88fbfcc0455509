import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as VitestNode from 'vitest/node';
import type { Reporter, TestSpecification, Vitest } from 'vitest/node';

/** A request to the process of the tests. */
export interface RunRequest {
  /** Files that were written anew since the last run. */
  readonly changed: readonly string[];
  /** Test files to run in this order, until one fails. */
  readonly tests: readonly string[];
}

export type RunnerMessage =
  | { readonly type: 'ready'; readonly tests: readonly string[] }
  | { readonly type: 'ran'; readonly failed: string | null };

/** Tests that need a browser import little of what they see. */
const inBrowser = /^test\/(browser|e2e|bench)\//;

/**
 * A process of its own that runs test files with the Vitest of `root`, kept for one mutant after another; it can be
 * killed where a mutant never ends.
 */
export async function serveRuns(root: string): Promise<void> {
  const { createVitest } = await importVitest(root);
  let hasFailed = false;
  const fail = (): void => {
    if (hasFailed) return;
    hasFailed = true;
    // The rest of the file would tell nothing more.
    void vitest.cancelCurrentRun('test-failure');
  };
  const reporter: Reporter = {
    onTestCaseResult: (test) => void (test.result().state === 'failed' && fail()),
  };
  const vitest: Vitest = await createVitest('test', {
    root,
    watch: false,
    project: '!browser',
    maxWorkers: 1,
    reporters: [reporter],
    onConsoleLog: () => false,
  });
  const specifications = new Map<string, TestSpecification>();
  for (const each of await vitest.globTestSpecifications())
    if (!inBrowser.test(relative(root, each.moduleId))) specifications.set(each.moduleId, each);
  const run = async ({ changed, tests }: RunRequest): Promise<string | null> => {
    for (const file of changed) vitest.invalidateFile(join(root, file));
    for (const test of tests) {
      hasFailed = false;
      const specification = specifications.get(join(root, test))!;
      const { testModules, unhandledErrors } = await vitest.runTestSpecifications([specification]);
      const ran = testModules.find((module) => module.moduleId === specification.moduleId);
      if (hasFailed || unhandledErrors.length > 0 || ran?.state() !== 'passed') return test;
    }
    return null;
  };
  process.on('message', (request: RunRequest) => {
    void run(request).then((failed) => tell({ type: 'ran', failed }));
  });
  tell({ type: 'ready', tests: [...specifications.keys()].map((id) => relative(root, id)) });
}

function tell(message: RunnerMessage): void {
  process.send!(message);
}

async function importVitest(root: string): Promise<typeof VitestNode> {
  const path = createRequire(join(root, 'package.json')).resolve('vitest/node');
  return (await import(pathToFileURL(path).href)) as typeof VitestNode;
}

const [root] = process.argv.slice(2);
if (process.send !== undefined && root !== undefined) await serveRuns(root);
