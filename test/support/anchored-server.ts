import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import OpenAI from 'openai';
import { expect, vi } from 'vitest';
import type { WorkerPort } from '#shared/peer/volunteer/worker-client.ts';
import { startHidden } from '../../signal-server/gateway/start-hidden.ts';
import type { ConfigInput } from '../../signal-server/machine/config.ts';
import { startGateway } from '../../signal-server/gateway/start-gateway.ts';
import { startAnchors } from '../../signal-server/node-peer/anchors.ts';
import { startStandIns } from '../../signal-server/node-peer/stand-in-volunteers.ts';
import { spawnWorkerThread } from '../../signal-server/node-peer/worker-thread.ts';
import { importWren } from './imported-wren.ts';
import { startTestServer, type TestServer, type TestServerOptions } from './signal-server.ts';

/** A signal server in this process with Wren, the gateway and real anchors. */
export interface AnchoredServer extends TestServer {
  readonly client: OpenAI;
  /** Ends the compute thread that is the next to run something, at its run of this number. */
  endThreadAtRun(number: number): void;
}

export interface AnchoredOptions {
  /** Settings of hidden sessions; none are there if left out. */
  readonly hidden?: NonNullable<ConfigInput['hidden']>;
}

/** Resolves once every anchor serves. */
export async function startAnchoredServer(
  anchors: number,
  options: Pick<TestServerOptions, 'folder' | 'onLog'> & AnchoredOptions = {},
): Promise<AnchoredServer> {
  const wren = await importWren();
  let ending: { runs: number; port: WorkerPort | null } | null = null;
  const spawnWorker = (): WorkerPort => {
    const port = spawnWorkerThread();
    const post = port.post.bind(port);
    port.post = (message, transfer) => {
      post(message, transfer);
      if (ending === null || message.call !== 'run') return;
      ending.port ??= port;
      if (ending.port !== port || --ending.runs > 0) return;
      ending = null;
      port.terminate();
    };
    return port;
  };
  const server = await startTestServer({
    ...options,
    // The blobs come after the first look at the folder, and without them nobody stands in for anchors.
    config: { anchors, times: { rescanMs: 200 }, ...(options.hidden && { hidden: options.hidden }) },
    manifests: [wren.manifest],
    companions: {
      async startGateway(context) {
        await cp(join(wren.dataFolder, 'blobs'), context.dataFolder.blobsPath, { recursive: true });
        return startGateway(context);
      },
      ...(options.hidden && { startHidden, startStandIns }),
      startAnchors: (context) => startAnchors(context, { pledgeBytes: 2 ** 30, slots: 4, spawnWorker }),
    },
  });
  const ready = () => server.server.snapshot().volunteers.filter(({ state }) => state === 'ready').length;
  await vi.waitFor(() => expect(ready()).toBe(anchors), { timeout: 60_000, interval: 100 });
  return {
    ...server,
    client: new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 }),
    endThreadAtRun(number) {
      ending = { runs: number, port: null };
    },
  };
}
