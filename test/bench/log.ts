import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { isIncluded, leafHash } from '#shared/log/merkle.ts';
import { isSignedBy, parseNote, parseVerifierKey } from '#shared/log/signed-note.ts';
import { parseTlogProof } from '#shared/log/tlog-proof.ts';
import { openLogService, type LogService } from '../../signal-server/log/log-service.ts';
import { systemClock, systemRandom } from '../../signal-server/machine/system-clock.ts';
import { openSqliteStore } from '../../signal-server/store/sqlite/sqlite-store.ts';
import type { Store } from '../../signal-server/store/store.ts';
import { figure, type Figure } from './figures.ts';

/** Of the server that the log is said to belong to. */
export const PUBLIC_URL = 'https://chorus.example';

export interface LogBenchOptions {
  /** The content of entry 0. */
  readonly first: Uint8Array;
  /** Those that come after it. */
  readonly entries: number;
  /** Appends that wait for their acknowledgement at the same time. */
  readonly clients: number;
  /** Proofs made and verified. */
  readonly proofs: number;
}

/** About what a receipt's record takes. */
const ENTRY_BYTES = 128;
const COLD_STARTS = 3;

/**
 * A new log in an empty data folder, without witnesses: how fast it acknowledges, how large its proofs are, how long making
 * and verifying one takes, and how long a start takes that checks every file. The log stays in the folder.
 */
export async function measureLog(
  dataFolder: string,
  { first, entries, clients, proofs }: LogBenchOptions,
): Promise<Figure[]> {
  const store = await openSqliteStore(dataFolder);
  try {
    const begun = await openService(dataFolder, store);
    await begun.append(first);
    const single = await timeSingle(begun);
    const written = await timeAppends(begun, entries, clients);
    await begun.stop();

    const starts: number[] = [];
    for (let i = 0; i < COLD_STARTS; i++) {
      const startedMs = performance.now();
      const again = await openService(dataFolder, store);
      starts.push(performance.now() - startedMs);
      await again.stop();
    }
    const service = await openService(dataFolder, store);
    const proven = await timeProofs(service, written, proofs);
    await service.stop();
    return [
      figure(`log: appends acknowledged, ${clients} at once`, 'entries/s', [written.perSecond]),
      figure('log: one append alone', 'ms', single),
      figure(`log: proof of one of ${entries}`, 'bytes', proven.sizes),
      figure('log: making a proof', 'ms', proven.makingMs),
      figure('log: verifying a proof', 'ms', proven.verifyingMs),
      figure(`log: start with ${entries} entries`, 'ms', starts),
    ];
  } finally {
    await store.close();
  }
}

function openService(dataFolder: string, store: Store): Promise<LogService> {
  return openLogService({
    dataFolder,
    origin: null,
    publicUrl: PUBLIC_URL,
    witnesses: [],
    acknowledged: store.acknowledged,
    clock: systemClock,
    onError: (error) => {
      throw error;
    },
    onDoubt: (error) => {
      throw error;
    },
  });
}

async function timeSingle(service: LogService): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const startedMs = performance.now();
    await service.append(systemRandom(ENTRY_BYTES));
    times.push(performance.now() - startedMs);
  }
  return times;
}

interface Written {
  readonly perSecond: number;
  readonly byIndex: ReadonlyMap<number, Uint8Array>;
}

async function timeAppends(service: LogService, entries: number, clients: number): Promise<Written> {
  const byIndex = new Map<number, Uint8Array>();
  let begun = 0;
  const appendAll = async (): Promise<void> => {
    while (begun++ < entries) {
      const entry = systemRandom(ENTRY_BYTES);
      byIndex.set(await service.append(entry), entry);
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: clients }, appendAll));
  return { perSecond: (1_000 * entries) / (performance.now() - startedMs), byIndex };
}

async function timeProofs(
  service: LogService,
  { byIndex }: Written,
  count: number,
): Promise<Record<'sizes' | 'makingMs' | 'verifyingMs', number[]>> {
  const key = parseVerifierKey(service.verifierKey);
  const [sizes, makingMs, verifyingMs]: [number[], number[], number[]] = [[], [], []];
  const indices = [...byIndex.keys()];
  for (let i = 0; i < count; i++) {
    const index = indices[Math.floor((i * indices.length) / count)]!;
    const startedMs = performance.now();
    const proof = await service.prove(index);
    const madeMs = performance.now();
    const { hashes, checkpoint } = parseTlogProof(proof);
    const note = parseNote(checkpoint);
    const { size, root } = parseCheckpoint(note.text);
    const isGood =
      (await isSignedBy(note, key, verifySignature)) &&
      isIncluded(leafHash(byIndex.get(index)!), index, size, hashes, root);
    verifyingMs.push(performance.now() - madeMs);
    if (!isGood) throw new Error(`the proof of entry ${index} does not hold`);
    sizes.push(Buffer.byteLength(proof));
    makingMs.push(madeMs - startedMs);
  }
  return { sizes, makingMs, verifyingMs };
}
