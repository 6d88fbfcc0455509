import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { Requester } from '#shared/peer/requester/requester.ts';
import { createNodeRequester } from '../../signal-server/node-peer/requester-program.ts';
import { serverApiAt } from '../../signal-server/node-peer/server-api.ts';
import { importWren } from './imported-wren.ts';
import { startServer } from './server-process.ts';

/** The ways in which a volunteer stops working; its link stays in all of them but the last. */
export type Stall =
  /** Its process is stopped: it answers nothing, pings neither. */
  | 'frozen'
  /** Its runs never end; it answers whatever else is asked. */
  | 'stuck'
  /** Each run sleeps 1.5 s. */
  | 'tarpit'
  /** Its process is gone, and its sockets with it. */
  | 'gone';

const TARPIT_MS = 1_500;
/** Of each stage: one that stalls, and two that go on and check each other. */
const HOLDERS = 3;
const FOR_EVER = 'for ever';

/** A server with Wren, volunteers in processes of their own that can be made to stall, and a requester in this one. */
export interface StallingNetwork {
  readonly requester: Requester;
  readonly model: { readonly manifest: Manifest; readonly digest: Digest };
  stall(volunteer: PeerId, how: Stall): void;
  /** Ends what a stall began: a volunteer that is gone is replaced by another. Resolves once all work. */
  mend(): Promise<void>;
  stop(): Promise<void>;
}

type Child = ReturnType<typeof fork>;

/** Resolves once `count` volunteers are ready, and more where one stage has fewer than three: which one each holds is drawn. */
export async function startStallingNetwork(least: number): Promise<StallingNetwork> {
  const { manifest } = await importWren();
  // Who is being tried takes no place of another.
  const server = await startServer({ anchors: 0, extraArguments: ['--stand-ins', '0'] });
  const api = serverApiAt(new URL(server.url));
  const aborter = new AbortController();
  const { signal } = aborter;
  const folder = await mkdtemp(join(tmpdir(), 'chorus-stalling-'));
  const children = new Map<PeerId, Child>();
  const start = async (): Promise<void> => {
    const main = fileURLToPath(new URL('stalling-volunteer-main.ts', import.meta.url));
    const child = fork(main, [server.url, folder], { execArgv: ['--import', 'tsx'] });
    const [id] = (await once(child, 'message')) as [PeerId];
    children.set(id, child);
  };
  let count = least;
  const ready = async (): Promise<void> => {
    for (let waited = 0; ; waited++) {
      const states = (await api.fetchNetwork(signal)).volunteers.map(({ state }) => state);
      if (states.length === count && states.every((state) => state === 'ready')) return;
      if (waited === 600) throw new Error(`volunteers are ${states.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const fewestHolders = async (): Promise<number> => {
    const holders = new Map<string, number>();
    for (const { range } of (await api.fetchNetwork(signal)).volunteers) {
      const held = JSON.stringify(range);
      holders.set(held, (holders.get(held) ?? 0) + 1);
    }
    return Math.min(...holders.values());
  };
  await Promise.all(Array.from({ length: count }, start));
  await ready();
  while ((await fewestHolders()) < HOLDERS && count < 2 * least) {
    count += 1;
    await start();
    await ready();
  }
  const [wren] = await api.fetchModels(signal);
  const identity = await identityOf(await generateKeyPair());
  const options = { serverUrl: new URL(server.url), identity, kind: 'cli', signal } as const;
  const { requester, close } = await createNodeRequester(options);
  return {
    requester,
    model: { manifest, digest: wren!.digest },
    stall(volunteer, how) {
      const child = children.get(volunteer)!;
      if (how === 'frozen') child.kill('SIGSTOP');
      else if (how === 'gone') child.kill('SIGKILL');
      else child.send(how === 'tarpit' ? TARPIT_MS : FOR_EVER);
    },
    async mend() {
      for (const [id, child] of [...children]) {
        child.kill('SIGCONT');
        if (child.signalCode === null && child.exitCode === null && !child.killed) child.send(0);
        else if (child.killed && child.signalCode === 'SIGKILL') {
          children.delete(id);
          await start();
        } else child.send(0);
      }
      await ready();
    },
    async stop() {
      close();
      aborter.abort();
      for (const child of children.values()) {
        child.kill('SIGCONT');
        child.kill('SIGKILL');
      }
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
