import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { chromiumArgs, findChromium } from '../../scripts/find-chromium.ts';

/** One tab in a browser context of its own: its own storage, so its own key. */
export interface Tab {
  readonly page: Page;
  readonly context: BrowserContext;
}

export interface TabOptions {
  /** False takes RTCPeerConnection away, as some networks and policies do. */
  readonly webrtc?: boolean;
  /** The owner's choice to talk through the server only; as the operator would have it if left out. */
  readonly relayOnly?: boolean;
  readonly backend?: 'auto' | 'webgpu' | 'wasm';
  /** The share of the time that the tab lends; less makes answers last. */
  readonly dutyPercent?: number;
  /** Most tokens of an answer. */
  readonly maxNewTokens?: number;
  /** Runs in the page before its own scripts (wrapped-workers.ts). */
  readonly script?: () => void;
}

export async function launchChromium(args: readonly string[] = chromiumArgs): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === null) throw new Error('no Chromium: run `npx tsx scripts/ensure-chromium.ts`');
  return chromium.launch({ executablePath, args: [...args] });
}

declare global {
  interface Window {
    /** Every connection the page made, for getStats. */
    chorusTestConnections?: RTCPeerConnection[];
    /** What those that are closed had said last. */
    chorusTestClosed?: Promise<RTCStatsReport>[];
  }
}

function keepConnections(): void {
  const Native = window.RTCPeerConnection;
  const connections: RTCPeerConnection[] = [];
  const closed: Promise<RTCStatsReport>[] = [];
  window.chorusTestConnections = connections;
  window.chorusTestClosed = closed;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      super(configuration);
      connections.push(this);
    }

    override close(): void {
      if (this.signalingState !== 'closed') closed.push(this.getStats());
      super.close();
    }
  };
}

function removeWebRtc(): void {
  // Under its old name too, from which a polyfill would bring it back.
  for (const name of ['RTCPeerConnection', 'webkitRTCPeerConnection']) Reflect.deleteProperty(window, name);
}

/** For `TabOptions.script`: a device whose clock is 21 minutes ahead. */
export function setClockAhead(): void {
  const aheadMs = 21 * 60_000;
  const Right = Date;
  window.Date = class extends Right {
    constructor(...given: [] | [number]) {
      super(...(given.length === 0 ? ([Right.now() + aheadMs] as const) : given));
    }

    static override now(): number {
      return Right.now() + aheadMs;
    }
  } as DateConstructor;
}

/** A person's choices as the page keeps them: greedy answers, and the backend asked for. */
function keepSettings(settings: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(settings)) {
    if (localStorage.getItem(key) === null) localStorage.setItem(key, JSON.stringify(value));
  }
}

/** `look` is how the browser shows pages: size, colours, motion. */
export async function openTab(
  browser: Browser,
  url: string,
  options: TabOptions = {},
  look: BrowserContextOptions = {},
): Promise<Tab> {
  const context = await browser.newContext(look);
  await context.addInitScript(options.webrtc === false ? removeWebRtc : keepConnections);
  await context.addInitScript(keepSettings, {
    'chorus.volunteer': {
      backend: options.backend ?? 'wasm',
      pledgeMegabytes: 512,
      slots: 4,
      dutyPercent: options.dutyPercent ?? 100,
      keepAwake: false,
    },
    'chorus.path': { relayOnly: options.relayOnly ?? null },
    'chorus.ask': { model: null, temperature: 0, topP: 1, maxNewTokens: options.maxNewTokens ?? 64, seed: 1 },
  });
  if (options.script !== undefined) await context.addInitScript(options.script);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(url);
  return { page, context };
}

/** Connections that the page has made so far, whatever became of them. */
export function connectionsMade(tab: Tab): Promise<number> {
  return tab.page.evaluate(() => window.chorusTestConnections?.length ?? 0);
}

export interface ChannelStats {
  readonly channels: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** The words of `getStats` on all data channels of the tab together, the closed ones included. */
export function channelStats(tab: Tab): Promise<ChannelStats> {
  return tab.page.evaluate(async () => {
    const sum = { channels: 0, messagesSent: 0, messagesReceived: 0, bytesSent: 0, bytesReceived: 0 };
    const open = (window.chorusTestConnections ?? []).filter(({ signalingState }) => signalingState !== 'closed');
    for (const said of [...(window.chorusTestClosed ?? []), ...open.map((connection) => connection.getStats())]) {
      for (const report of (await said).values() as Iterable<Record<string, unknown>>) {
        if (report['type'] !== 'data-channel') continue;
        sum.channels++;
        for (const key of ['messagesSent', 'messagesReceived', 'bytesSent', 'bytesReceived'] as const) {
          sum[key] += Number(report[key] ?? 0);
        }
      }
    }
    return sum;
  });
}
