import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Browser } from 'playwright-core';
import { loadOracle } from '../support/oracle.ts';
import { startServer, type ServerProcess } from '../support/server-process.ts';
import { launchChromium, openTab } from '../support/tabs.ts';
import { volunteerIn } from '../support/volunteer-tab.ts';
import type { BenchRun, LapSplit } from './contender.ts';
import { measureDesk } from './desk.ts';
import { measureDraw } from './draw.ts';
import { figure, formatFigures, writeFigures, type Figure } from './figures.ts';
import { measureLog } from './log.ts';
import { startPageServer } from './page-server.ts';
import { prepare, type Run } from './prepare.ts';
import { measurePrice } from './price.ts';
import { measureReceiptList } from './receipt-list.ts';
import { entryOf, giveReceipt, measureReceipt } from './receipt.ts';
import { measureReload } from './reload.ts';

/**
 * Speed of the default model on WASM in headless Chromium tabs: whole in one tab, by transformers.js and by our
 * worker, and cut into 2 and 4 stages over data channels. All take turns within one run, so that a busy machine
 * slows all of them alike. Then what it costs to have answers checked (price.ts), how soon a reloaded tab works again
 * (reload.ts), and what receipts and their log cost (log.ts, receipt.ts, desk.ts).
 */
const promptLengths = [16, 128, 384] as const;
/** Each makes Wren write a story longer than what is measured. */
const heroes = ['a brave mouse', 'a shy dragon', 'two friends', 'a lost kite', 'a little owl', 'a clever baker'];

interface Runner {
  readonly name: string;
  /** Stages that a token passes; null where they are not ours to time. */
  readonly stages: number | null;
  readonly run: Run;
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    /** Of `sections`, if not all. */
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '64' },
    /** Of the log. */
    entries: { type: 'string', default: '100000' },
  },
});
const rounds = Number(options.rounds);
const tokens = Number(options.tokens);

/** Token ids that change from round to round, so that nothing can be kept from before. */
function promptOf(length: number, round: number): number[] {
  return Array.from({ length }, (_, i) => 300 + ((i * 37 + round * 101) % 1500));
}

async function startNetwork(
  browser: Browser,
  template: string,
  stages: number,
): Promise<{ server: ServerProcess; run: Run; pageUrl: string; stop(): Promise<void> }> {
  const server = await startServer({ anchors: 0, minStages: stages, template });
  const page = await startPageServer(server.url);
  for (let i = 0; i < stages; i++) await volunteerIn(browser, server.url, { backend: 'wasm' });
  const run = await prepare(await openTab(browser, page.url), 'network');
  const stop = async (): Promise<void> => {
    await page.stop();
    await server.stop();
  };
  return { server, run, pageUrl: page.url, stop };
}

function decodeFigures({ name, stages }: Runner, runs: readonly BenchRun[]): Figure[] {
  const speeds = runs.map((run) => (1000 * (run.tokens.length - 1)) / run.decodeMs);
  const figures = [figure(`${name}: speed`, 'tokens/s', speeds)];
  const laps = runs.flatMap((run) => run.laps);
  if (stages === null || laps.length === 0) return figures;
  const perHop = (part: string, pick: (lap: LapSplit) => number): Figure =>
    figure(
      `${name}: ${part} per hop`,
      'ms',
      laps.map((lap) => pick(lap) / stages),
    );
  // Stages count in microseconds; what is less than one of them is rounding.
  const wire = (lap: LapSplit): number =>
    Math.round(1000 * (lap.lapMs - lap.queueMs - lap.decodeMs - lap.runMs - lap.encodeMs)) / 1000;
  return [
    ...figures,
    perHop('queue', (lap) => lap.queueMs),
    perHop('decode', (lap) => lap.decodeMs),
    perHop('run', (lap) => lap.runMs),
    perHop('encode', (lap) => lap.encodeMs),
    perHop('wire', wire),
    perHop('all but run', (lap) => lap.lapMs - lap.runMs),
  ];
}

async function takeTurns(runners: readonly Runner[], stories: readonly (readonly number[])[]): Promise<Figure[]> {
  const decoded = new Map<Runner, BenchRun[]>(runners.map((runner) => [runner, []]));
  const firsts = new Map<string, number[]>();
  // Round -1 warms up and is thrown away.
  for (let round = -1; round < rounds; round++) {
    for (const runner of runners) {
      const run = await runner.run(stories[(round + 1) % stories.length] ?? [], tokens, { shadows: 0 });
      if (round >= 0) decoded.get(runner)?.push(run);
      for (const length of promptLengths) {
        const { firstTokenMs } = await runner.run(promptOf(length, round + 1), 1, { shadows: 0 });
        const key = `${runner.name}: first token after ${length} tokens`;
        if (round >= 0) firsts.set(key, [...(firsts.get(key) ?? []), firstTokenMs]);
      }
    }
  }
  return [
    ...runners.flatMap((runner) => decodeFigures(runner, decoded.get(runner) ?? [])),
    ...[...firsts].map(([name, values]) => figure(name, 'ms', values)),
  ];
}

/** One tab against stages in several. */
async function measureSpeed(
  browser: Browser,
  template: string,
  stories: readonly (readonly number[])[],
): Promise<Figure[]> {
  const networks: Awaited<ReturnType<typeof startNetwork>>[] = [];
  try {
    const two = await startNetwork(browser, template, 2);
    networks.push(two);
    const four = await startNetwork(browser, template, 4);
    networks.push(four);
    const alone = async (name: 'transformers' | 'worker'): Promise<Run> =>
      prepare(await openTab(browser, two.pageUrl), name);
    const runners: Runner[] = [
      { name: 'transformers.js, one tab', stages: null, run: await alone('transformers') },
      { name: 'our worker, one tab', stages: 1, run: await alone('worker') },
      { name: '2 stages in tabs', stages: 2, run: two.run },
      { name: '4 stages in tabs', stages: 4, run: four.run },
    ];
    return await takeTurns(runners, stories);
  } finally {
    for (const network of networks) await network.stop();
  }
}

/** The default model, imported, and questions to it. */
interface Wren {
  readonly template: string;
  readonly stories: readonly (readonly number[])[];
}
type Section = (browser: Browser, wren: () => Promise<Wren>) => Promise<Figure[]>;

const sections: Readonly<Record<string, Section>> = {
  async speed(browser, wren) {
    const { template, stories } = await wren();
    return measureSpeed(browser, template, stories);
  },
  /** Of a network that has the machine to itself. */
  async price(browser, wren) {
    const { template, stories } = await wren();
    return measurePrice(browser, template, { rounds, tokens, stories });
  },
  async reload(browser, wren) {
    return measureReload(browser, (await wren()).template, rounds);
  },
  async log(browser) {
    const dataFolder = await temporaryFolder();
    const given = await giveReceipt();
    const counts = { entries: Number(options.entries), clients: 512, proofs: 500 };
    const figures = await measureLog(dataFolder, { first: entryOf(given), ...counts });
    figures.push(...(await measureReceipt(given, dataFolder, browser)));
    figures.push(...(await measureDraw()));
    figures.push(...(await measureDesk(await temporaryFolder(), 1_000)));
    return [...figures, ...(await measureReceiptList(await temporaryFolder(), Number(options.entries)))];
  },
};

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'chorus-bench-'));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function importWren(): Promise<Wren> {
  const template = await temporaryFolder();
  await (await startServer({ anchors: 0, dataFolder: template })).stop();
  const oracle = await loadOracle('wren', 'q4');
  const stories = heroes.map((hero) => oracle.chat([{ role: 'user', content: `Tell me a story about ${hero}.` }]));
  await oracle.dispose();
  return { template, stories };
}

if (options.only !== undefined && !Object.hasOwn(sections, options.only)) {
  throw new Error(`there is no section ${options.only}, only ${Object.keys(sections).join(', ')}`);
}
const stops: (() => Promise<unknown>)[] = [];
let imported: Promise<Wren> | null = null;
try {
  const figures: Figure[] = [];
  for (const [name, measure] of Object.entries(sections)) {
    if (options.only !== undefined && options.only !== name) continue;
    const browser = await launchChromium();
    try {
      figures.push(...(await measure(browser, () => (imported ??= importWren()))));
    } finally {
      await browser.close();
    }
  }
  console.log(formatFigures(figures));
  if (options.json !== undefined) await writeFigures(options.json, 'npm run bench', figures);
} finally {
  for (const stop of stops.reverse()) await stop();
}
