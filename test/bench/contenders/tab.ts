import { readFile } from 'node:fs/promises';
import { launchChromium } from '../../support/tabs.ts';
import type { Contender, Material } from './contender.ts';
import type * as pageModule from './page/main.ts';

/** Resident memory of a tab's process, in MB; null where the system does not tell. */
export interface TabMemory {
  readonly now: number;
  /** The most there ever was. */
  readonly peak: number;
}

export interface ContenderTab extends Contender {
  /** The browser and its version. */
  readonly runsIn: string;
  memory(): Promise<TabMemory | null>;
  stop(): Promise<void>;
}

const PAGE_MODULE = '/test/bench/contenders/page/main.ts';
/** Contenders that need minutes for a long prompt are waited for. */
const PATIENCE_MS = 30 * 60_000;

/**
 * Gets a contender ready in a tab of a Chromium of its own, so that no process is shared: the largest that shows pages there is
 * the tab's.
 */
export async function openContender(
  pageUrl: string,
  name: pageModule.ContenderName,
  material: Material,
): Promise<ContenderTab> {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const failed = new Promise<never>((_, reject) => {
      page.on('pageerror', reject);
      page.on('crash', () => reject(new Error('the tab crashed')));
    });
    failed.catch(() => undefined);
    const during = <T>(work: Promise<T>): Promise<T> =>
      Promise.race([work, failed]).catch((error: unknown) => {
        throw new Error(`${name} failed`, { cause: error });
      });
    await page.goto(pageUrl);
    const handle = await page.evaluateHandle((url) => import(url) as Promise<typeof pageModule>, PAGE_MODULE);
    await during(handle.evaluate((module, given) => module.prepare(...given), [name, material] as const));
    const session = await browser.newBrowserCDPSession();
    return {
      runsIn: `Chromium ${browser.version()}`,
      read: (prompt) => during(handle.evaluate((module, given) => module.read(given), prompt)),
      goOn: (count) => during(handle.evaluate((module, given) => module.goOn(given), count)),
      async memory() {
        const { processInfo } = await session.send('SystemInfo.getProcessInfo');
        const renderers = processInfo.filter(({ type }) => type === 'renderer');
        const found = await Promise.all(renderers.map(({ id }) => processMemory(id)));
        return found.reduce((most, one) => (most === null || (one?.now ?? 0) > most.now ? one : most), null);
      },
      stop: () => browser.close(),
    };
  } catch (error) {
    await browser.close();
    throw error;
  }
}

async function processMemory(pid: number): Promise<TabMemory | null> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => null);
  if (status === null) return null;
  const megabytes = (key: string): number =>
    (Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024) / 1e6;
  return { now: megabytes('VmRSS'), peak: megabytes('VmHWM') };
}
