import type { Tab } from '../support/tabs.ts';
import type { BenchRun, RunOptions } from './contender.ts';

export type Run = (prompt: readonly number[], count: number, options: RunOptions) => Promise<BenchRun>;

/** Gets a contender ready in a tab with the bench page. */
export async function prepare(tab: Tab, name: 'transformers' | 'worker' | 'network'): Promise<Run> {
  await tab.page.waitForFunction(() => window.chorusBench !== undefined);
  await tab.page.evaluate((which) => window.chorusBench?.prepare(which), name);
  return async (...request) => {
    const run = await tab.page.evaluate(([ids, n, wishes]) => window.chorusBench?.run(ids, n, wishes), request);
    if (run === undefined) throw new Error('the bench page is gone');
    return run;
  };
}
