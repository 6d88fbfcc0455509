import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toBase64 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import type { Digest } from '#shared/ids.ts';
import { receiptId } from '#shared/receipt/read-receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { newestFirst } from '../../../signal-server/receipts/log-entries.ts';
import { makeReceipts, openDesk, type OpenDesk } from '../../support/desk-stand.ts';
import { repetitions } from '../../support/effort.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { giveAnswer, ISSUED_AT_MS, makePeople } from '../../support/receipts.ts';
import { createRandom } from '../../support/synthetic-weights.ts';

const KILLS = repetitions(6, 20);
const CLIENTS = 16;
const RECEIPTS = 20 * KILLS;
/** Every other process is killed at most this long after it began to give receipts, be it at its first steps. */
const LONGEST_MS = 600;
/**
 * The others have some receipts acknowledged before, at least so many and less than so many, however slow the machine is:
 * more than come again since they were under way.
 */
const [LEAST_ACKS, MOST_ACKS] = [CLIENTS + 4, 100];
/** `CHORUS_TEST_SEED` repeats a run. */
const seed = Number(process.env['CHORUS_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const repository = fileURLToPath(new URL('../../../', import.meta.url));
const NOW_MS = ISSUED_AT_MS + 20_000;

let folder: string;
let program: string;
let serverKey: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  folder = await newFolder();
  const people = await makePeople();
  serverKey = people.server.publicKey;
  const files = await makeReceipts(await giveAnswer(people), RECEIPTS);
  await writeFile(join(folder, 'receipts.json'), JSON.stringify(files));
  // As one plain file it begins within milliseconds. What has machine code is no part of it.
  await build({
    configFile: false,
    root: repository,
    logLevel: 'silent',
    build: {
      ssr: join(repository, 'test/support/receipt-poster.ts'),
      outDir: join(folder, 'program'),
      emptyOutDir: true,
      minify: false,
      rollupOptions: { output: { entryFileNames: 'poster.mjs' } },
    },
    ssr: { noExternal: true, external: ['libsql'] },
  });
  await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
  program = join(folder, 'program', 'poster.mjs');
}, 180_000);
afterAll(() => removeFolder(folder));

interface Kill {
  /** The entries that it must have acknowledged first. */
  readonly acks: number;
  readonly delayMs: number;
}

interface Poster {
  /** Lets it begin, kills it as told, and answers what was acknowledged. */
  runAndKill(first: number, kill: Kill): Promise<Digest[]>;
}

/** Starts the program, which then waits: the next one does so while what the last one did is checked. */
function startPoster(): Poster {
  const args = [folder, join(folder, 'receipts.json'), toBase64(serverKey), String(NOW_MS), String(CLIENTS)];
  const child = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  let [said, failed] = ['', ''];
  child.stderr.on('data', (data: Buffer) => (failed += data.toString()));
  return {
    async runAndKill(first, { acks, delayMs }) {
      let timer: NodeJS.Timeout | null = null;
      child.stdout.on('data', (data: Buffer) => {
        said += data.toString();
        if (timer !== null || said.split('\nack ').length <= acks) return;
        timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
      });
      child.stdin.write(`${first}\n`);
      const [code, signal] = await closed;
      if (timer !== null) clearTimeout(timer);
      expect({ code, signal, failed: errorsIn(failed) }).toEqual({ code: null, signal: 'SIGKILL', failed: [] });
      // The text after the last line feed was cut off.
      const lines = said.split('\n').slice(0, -1);
      return lines.flatMap((line) => (line.startsWith('ack ') ? [line.slice(4) as Digest] : []));
    },
  };
}

/** The words of a process on standard error, without the warnings of Node. */
function errorsIn(said: string): string[] {
  return said.split('\n').filter((line) => line !== '' && !/^\((?:node:\d+\)|Use `node )/.test(line));
}

function killOf(run: number, random: () => number): Kill {
  const acks = run % 2 === 0 ? 0 : Math.floor(LEAST_ACKS + random() * (MOST_ACKS - LEAST_ACKS));
  return { acks, delayMs: random() * (acks === 0 ? LONGEST_MS : LONGEST_MS / 4) };
}

/** The receipt is kept, and in the log once and for good. */
async function expectReceipt({ desk }: OpenDesk, id: Digest, indices: Map<Digest, number>): Promise<void> {
  const found = await desk.read(id);
  if (found === null || found.file === null) throw new Error(`the receipt ${id} was acknowledged and is lost`);
  expect(receiptId(found.file)).toBe(id);
  expect(found.index).toBe(indices.get(id) ?? found.index);
  indices.set(id, found.index);
  const { checks } = await verifyReceipt({ receipt: found.file, verify });
  expect(checks.find(({ name }) => name === 'log-inclusion')?.status).toBe('passed');
}

describe(`a desk whose process is killed ${KILLS} times under load (seed ${seed})`, () => {
  it('has every receipt that it acknowledged, and one for every entry of its log', { timeout: 600_000 }, async () => {
    const random = createRandom(seed);
    const indices = new Map<Digest, number>();
    let given = 0;
    let poster = startPoster();
    for (let run = 0; run < KILLS; run++) {
      const acknowledged = await poster.runAndKill(given, killOf(run, random));
      // Those under way when it was killed come again.
      given += acknowledged.length;
      if (run + 1 < KILLS) poster = startPoster();
      const open = await openDesk(folder, serverKey, NOW_MS);
      for (const id of acknowledged) await expectReceipt(open, id, indices);
      expect(await open.store.receipts.pending()).toEqual([]);
      await open.close();
    }

    const open = await openDesk(folder, serverKey, NOW_MS);
    for (const id of indices.keys()) await expectReceipt(open, id, indices);
    const logged = new Set<Digest>();
    for await (const { id, index } of newestFirst(open.log, 0, open.log.status.size)) {
      // Nor is a receipt in the log twice.
      expect(logged.has(id)).toBe(false);
      logged.add(id);
      expect(await open.store.receipts.get(id, open.log.verifierKey)).toMatchObject({ index, envelope: {} });
    }
    expect(logged.size).toBe(open.log.status.size);
    // Else the kills all came before the first receipt, and nothing was tried.
    expect(indices.size).toBeGreaterThan(KILLS);
    await open.close();
  });
});
