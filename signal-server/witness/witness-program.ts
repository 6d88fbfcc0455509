import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import type { Clock } from '#shared/clock.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { formatVerifierKey, type NoteKey } from '#shared/log/signed-note.ts';
import { fetchLogKey } from '../log/fetch-log.ts';
import { makeFolder } from '../machine/durable-file.ts';
import { openKeyFile } from '../machine/key-file.ts';
import { demandWitnessMemory } from '../machine/used-folder.ts';
import type { WitnessStore } from '../store/witness-store.ts';
import { createWitnessApp } from './witness-app.ts';
import { createWitness } from './witness.ts';

const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 256;
const STOP_GRACE_MS = 1_000;

export interface WitnessOptions {
  /** Chorus servers, or the prefixes of other logs that show their key under `vkey`. */
  readonly logs: readonly URL[];
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  /** Holds `witness.key` and what the store keeps. */
  readonly dataFolder: string;
  readonly openStore: (folder: string) => Promise<WitnessStore>;
  /** A URL without scheme; null for one made of the key. */
  readonly name: string | null;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
}

export interface RunningWitness {
  readonly port: number;
  /** The line by which others know this witness. */
  readonly verifierKey: string;
  readonly logs: readonly NoteKey[];
  /** Logs that did not say their key; those known from before are watched all the same. */
  readonly unreachable: readonly { readonly url: URL; readonly error: ChorusError }[];
  stop(): Promise<void>;
}

/**
 * Runs a witness. A log's key is learned from its URL once and kept: throws `wrong-peer` if it shows another one later,
 * and `server-lost` if no log is known at all.
 */
export async function startWitness(options: WitnessOptions): Promise<RunningWitness> {
  const folder = resolve(options.dataFolder);
  await makeFolder(folder);
  await demandWitnessMemory(folder);
  const identity = await openKeyFile(join(folder, 'witness.key'));
  const store = await options.openStore(folder);
  try {
    const name = await chooseName(store, options.name, `witness-${identity.id.slice(0, 8)}.localhost`);
    const unreachable = await learnLogs(options, store);
    if (store.logs.length === 0) throw unreachable[0]?.error ?? new ChorusError('bad-message', 'no log to watch');
    const witness = createWitness(name, identity, store, options.clock);
    const server = createServer(createWitnessApp(witness, options.onError));
    server.requestTimeout = REQUEST_TIMEOUT_MS;
    server.maxConnections = MAX_CONNECTIONS;
    server.listen(options.port, options.host);
    await once(server, 'listening');
    return {
      port: (server.address() as AddressInfo).port,
      verifierKey: formatVerifierKey(witness.key),
      logs: store.logs,
      unreachable,
      async stop() {
        const closed = once(server, 'close');
        server.close();
        server.closeIdleConnections();
        const force = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
        await closed;
        clearTimeout(force);
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The name under which it signs, chosen once. Throws `internal` if `wanted` is another. */
async function chooseName(store: WitnessStore, wanted: string | null, otherwise: string): Promise<string> {
  await store.nameItself(wanted ?? otherwise);
  const name = store.name!;
  if (wanted === null || wanted === name) return name;
  throw new ChorusError('internal', `this witness is ${name}: a key has one name, so ${wanted} needs its own --data`);
}

async function learnLogs(
  { logs, signal }: WitnessOptions,
  store: WitnessStore,
): Promise<{ url: URL; error: ChorusError }[]> {
  const unreachable: { url: URL; error: ChorusError }[] = [];
  for (const url of logs) {
    let key: NoteKey;
    try {
      key = await fetchLogKey(url, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      unreachable.push({ url, error: toChorusError(thrown) });
      continue;
    }
    await learnLog(store, key);
  }
  return unreachable;
}

/** Throws `wrong-peer` if another key was seen for its origin before. */
async function learnLog(store: WitnessStore, key: NoteKey): Promise<void> {
  await store.watch(key);
  const vkey = formatVerifierKey(key);
  const known = formatVerifierKey(store.logs.find(({ name }) => name === key.name)!);
  if (known === vkey) return;
  throw new ChorusError('wrong-peer', `the log ${key.name} had the key ${known} before, and now shows ${vkey}`);
}
