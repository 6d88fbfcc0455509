import type { Browser } from 'playwright-core';
import { startServer } from '../support/server-process.ts';
import { channelStats, openTab, type Tab } from '../support/tabs.ts';
import { volunteerIn, type VolunteerTab } from '../support/volunteer-tab.ts';
import { keepRunTimes } from '../support/wrapped-workers.ts';
import { figure, type Figure } from './figures.ts';
import { startPageServer } from './page-server.ts';
import { prepare, type Run } from './prepare.ts';

const STAGES = 2;

/** One answer with all that it cost the network. */
interface PricedRun {
  readonly tokensPerSecond: number;
  /** Compute of all primaries and of all shadows, prompt included, for each token of the answer. */
  readonly primaryMs: number;
  readonly shadowMs: number;
  /** Sent over all links, for each token of the answer. */
  readonly bytes: number;
  readonly checkDelaysMs: readonly number[];
}

export interface PriceOptions {
  readonly rounds: number;
  readonly tokens: number;
  readonly stories: readonly (readonly number[])[];
}

/**
 * The price of checking: two stages with two tabs each answer the same questions in turn with one replica for each stage
 * and with two, all on the same cores.
 */
export async function measurePrice(browser: Browser, template: string, options: PriceOptions): Promise<Figure[]> {
  const server = await startServer({ anchors: 0, minStages: STAGES, template });
  const page = await startPageServer(server.url);
  try {
    const volunteers: VolunteerTab[] = [];
    for (let i = 0; i < 2 * STAGES; i++) {
      volunteers.push(await volunteerIn(browser, server.url, { backend: 'wasm', script: keepRunTimes }));
    }
    const requester = await openTab(browser, page.url);
    const run = await prepare(requester, 'network');
    const ask = (shadows: number, round: number): Promise<PricedRun> =>
      askPriced(run, requester, volunteers, options, shadows, round);
    const runs: { checked: PricedRun; unchecked: PricedRun }[] = [];
    // Round -1 warms up and is thrown away; who goes first changes from round to round.
    for (let round = -1; round < options.rounds; round++) {
      const first = await ask(round % 2 === 0 ? 0 : 1, round);
      const second = await ask(round % 2 === 0 ? 1 : 0, round);
      const [unchecked, checked] = round % 2 === 0 ? [first, second] : [second, first];
      if (round >= 0) runs.push({ checked, unchecked });
    }
    return priceFigures(runs);
  } finally {
    await page.stop();
    await server.stop();
  }
}

async function askPriced(
  run: Run,
  requester: Tab,
  volunteers: readonly VolunteerTab[],
  { tokens: count, stories }: PriceOptions,
  shadows: number,
  round: number,
): Promise<PricedRun> {
  const everyone = [requester, ...volunteers];
  const bytesBefore = await sentBytes(everyone);
  const { tokens, decodeMs, network } = await run(stories[(round + 1) % stories.length] ?? [], count, { shadows });
  const wantedTier = shadows > 0 ? 'checked' : 'unchecked';
  if (network?.tier !== wantedTier) throw new Error(`an answer came out ${network?.tier}, not ${wantedTier}`);
  const bytes = (await sentBytes(everyone)) - bytesBefore;
  let [primaryUs, shadowUs] = [0, 0];
  for (const { id, page } of volunteers) {
    const runUs = await page.evaluate((session) => window.chorusTestRunUs?.[session] ?? 0, network.session);
    if (network.primaries.includes(id)) primaryUs += runUs;
    else shadowUs += runUs;
  }
  return {
    tokensPerSecond: (1000 * (tokens.length - 1)) / decodeMs,
    primaryMs: primaryUs / 1000 / tokens.length,
    shadowMs: shadowUs / 1000 / tokens.length,
    bytes: bytes / tokens.length,
    checkDelaysMs: network.checkDelaysMs,
  };
}

async function sentBytes(tabs: readonly Tab[]): Promise<number> {
  const stats = await Promise.all(tabs.map(channelStats));
  return stats.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
}

function priceFigures(runs: readonly { readonly checked: PricedRun; readonly unchecked: PricedRun }[]): Figure[] {
  const of = (name: string, unit: string, pick: (run: PricedRun) => number): Figure[] => [
    figure(
      `unchecked: ${name}`,
      unit,
      runs.map(({ unchecked }) => pick(unchecked)),
    ),
    figure(
      `checked: ${name}`,
      unit,
      runs.map(({ checked }) => pick(checked)),
    ),
  ];
  const delays = runs.flatMap(({ checked }) => checked.checkDelaysMs);
  return [
    ...of('speed', 'tokens/s', (run) => run.tokensPerSecond),
    figure(
      'checked against unchecked speed',
      'ratio',
      runs.map(({ checked, unchecked }) => checked.tokensPerSecond / unchecked.tokensPerSecond),
    ),
    ...of('compute of primaries per token', 'ms', (run) => run.primaryMs),
    ...of('compute of shadows per token', 'ms', (run) => run.shadowMs),
    figure(
      'compute of shadows against primaries',
      'ratio',
      runs.map(({ checked }) => checked.shadowMs / checked.primaryMs),
    ),
    ...of('sent per token', 'bytes', (run) => run.bytes),
    figure('from a token to its check', 'ms', delays),
    { ...figure('from a token to its check, longest', 'ms', [Math.max(...delays)]), runs: delays.length },
  ];
}
