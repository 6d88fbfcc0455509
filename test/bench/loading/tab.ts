/**
 * How a tab gets a stage ready: `npx tsx test/bench/loading/tab.ts DATA [--private] [--pledge 2048] [--json FILE]`. DATA is a data folder
 * with one imported model, of which the tab gets the largest stage that its pledge holds. Once with nothing kept and once
 * reloaded, over HTTP on loopback, in a profile on the disk or in a private window.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { chromiumArgs, findChromium } from '../../../scripts/find-chromium.ts';
import { startServer } from '../../support/server-process.ts';
import { figure, formatFigures, writeFigures, type Figure } from '../figures.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    private: { type: 'boolean', default: false },
    pledge: { type: 'string', default: '2048' },
    json: { type: 'string' },
  },
});

/** What the page says, as often as it changes, and the longest pauses of its loop. */
interface Watched {
  readonly said: { readonly atMs: number; readonly phase: string; readonly share: number | null }[];
  /** By phase. */
  readonly longestPausesMs: Record<string, number>;
}

declare global {
  interface Window {
    chorusWatched?: Watched;
  }
}

function watchPage(pledgeMegabytes: number): void {
  const lent = { backend: 'wasm', pledgeMegabytes, slots: 2, dutyPercent: 100, keepAwake: false };
  localStorage.setItem('chorus.volunteer', JSON.stringify(lent));
  const watched: Watched = { said: [], longestPausesMs: {} };
  window.chorusWatched = watched;
  let lastMs = performance.now();
  setInterval(() => {
    const atMs = performance.now();
    const phase = document.querySelector<HTMLElement>('.control')?.dataset['phase'] ?? '';
    const since = watched.said.at(-1)?.phase;
    if (since !== undefined && since !== 'serving')
      watched.longestPausesMs[since] = Math.max(watched.longestPausesMs[since] ?? 0, atMs - lastMs);
    lastMs = atMs;
    const bar = document.querySelector('progress');
    const share = bar === null ? null : bar.value / bar.max;
    const before = watched.said.at(-1);
    if (phase !== 'off' && (before?.phase !== phase || before.share !== share))
      watched.said.push({ atMs, phase, share });
  }, 20);
}

interface Load extends Watched {
  /** Processor seconds until all is fetched, and from then on, by kind of process. */
  readonly fetching: ReadonlyMap<string, number>;
  readonly preparing: ReadonlyMap<string, number>;
}

/** Presses Start and waits until the page works. */
async function load(page: Page): Promise<Load> {
  const phase = (names: string) =>
    page.locator(`:is(${names.replaceAll(/\w+/g, '.control[data-phase=$&]')})`).waitFor({ timeout: 500_000 });
  const before = processorSeconds();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await phase('loading, serving');
  const between = processorSeconds();
  await phase('serving');
  const after = processorSeconds();
  const watched = await page.evaluate(() => window.chorusWatched!);
  return { ...watched, fetching: difference(before, between), preparing: difference(between, after) };
}

/** Of the processes that this one has started, by what they are (Linux only). */
function processorSeconds(): Map<string, number> {
  const processes = readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return [{ pid, parent: fields[1]!, seconds: (Number(fields[11]) + Number(fields[12])) / 100, command }];
    } catch {
      return [];
    }
  });
  const own = new Set([String(process.pid)]);
  for (let size = 0; size < own.size;) {
    size = own.size;
    for (const { pid, parent } of processes) if (own.has(parent)) own.add(pid);
  }
  const sums = new Map<string, number>();
  for (const { pid, seconds, command } of processes) {
    if (!own.has(pid)) continue;
    const kind = command.includes('chorus.mjs')
      ? 'server'
      : (/--utility-sub-type=(\w+)/.exec(command)?.[1] ??
        /--type=(\S+)/.exec(command)?.[1] ??
        (command.includes('--no-first-run') ? 'browser' : 'bench'));
    sums.set(kind, (sums.get(kind) ?? 0) + seconds);
  }
  return sums;
}

function difference(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...after].map(([kind, seconds]) => [kind, seconds - (before.get(kind) ?? 0)]));
}

function figuresOf(
  name: string,
  { said, longestPausesMs, fetching: spent, preparing }: Load,
  stageBytes: number,
): Figure[] {
  const startMs = said[0]!.atMs;
  const first = (phase: string): number => said.find((one) => one.phase === phase)?.atMs ?? startMs;
  const [fetchMs, loadMs, servingMs] = [first('downloading'), first('loading'), first('serving')];
  const figures = [
    figure(`${name}: click to working`, 's', [(servingMs - startMs) / 1000]),
    figure(`${name}: until it has a stage`, 's', [(fetchMs - startMs) / 1000]),
    figure(`${name}: fetched or found in`, 's', [(loadMs - fetchMs) / 1000]),
    figure(`${name}: prepared in`, 's', [(servingMs - loadMs) / 1000]),
    ...Object.entries(longestPausesMs).map(([phase, ms]) =>
      figure(`${name}: longest pause of the page's loop, ${phase}`, 'ms', [ms]),
    ),
  ];
  for (const [what, seconds] of [
    ['fetching', spent],
    ['preparing', preparing],
  ] as const)
    for (const [kind, used] of seconds)
      if (used >= 0.1) figures.push(figure(`${name}: processor time of ${kind}, ${what}`, 's', [used]));
  const fetching = said.filter((one) => one.phase === 'downloading' && one.share !== null);
  // By tenths of the download, so that a decay can be seen.
  for (const [from, to] of [
    [0, 0.1],
    [0.1, 0.5],
    [0.5, 0.9],
    [0.9, 1],
  ] as const) {
    const [a, b] = [from, to].map((share) => fetching.find((one) => one.share! >= share));
    if (a === undefined || b === undefined || b.atMs === a.atMs) continue;
    const speed = ((b.share! - a.share!) * stageBytes) / 1000 / (b.atMs - a.atMs);
    figures.push(figure(`${name}: fetched, ${100 * from} to ${100 * to} %`, 'MB/s', [speed]));
  }
  return figures;
}

async function main(): Promise<void> {
  const dataFolder = positionals[0] ?? 'data';
  const server = await startServer({ anchors: 0, dataFolder, extraArguments: ['--stand-ins', '0'] });
  const profile = await mkdtemp(join(tmpdir(), 'chorus-profile-'));
  const start = { executablePath: findChromium()!, args: [...chromiumArgs] };
  const browser = values.private ? await chromium.launch(start) : null;
  const context: BrowserContext =
    browser === null ? await chromium.launchPersistentContext(profile, start) : await browser.newContext();
  try {
    await context.addInitScript(watchPage, Number(values.pledge));
    const page = context.pages()[0] ?? (await context.newPage());
    await page.goto(`${server.url}/#/volunteer`);
    const figures: Figure[] = [];
    for (const name of ['fresh', 'kept']) {
      const before = process.hrtime.bigint();
      const watched = await load(page);
      const stageBytes = await page.evaluate(() => navigator.storage.estimate().then(({ usage }) => usage ?? 0));
      if (name === 'fresh') figures.push(figure('kept by the browser', 'MB', [stageBytes / 1e6]));
      figures.push(...figuresOf(name, watched, stageBytes));
      figures.push(figure(`${name}: as seen from outside`, 's', [Number(process.hrtime.bigint() - before) / 1e9]));
      await page.reload();
    }
    process.stdout.write(`${formatFigures(figures)}\n`);
    if (values.json !== undefined) await writeFigures(values.json, process.argv.slice(2).join(' '), figures);
  } finally {
    await context.close();
    await browser?.close();
    await server.stop();
    await rm(profile, { recursive: true, force: true });
  }
}

await main();
