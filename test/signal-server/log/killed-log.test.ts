import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromBase64, utf8 } from '#shared/bytes.ts';
import { parseCheckpoint, type Checkpoint } from '#shared/log/checkpoint.ts';
import { isConsistent, isIncluded, leafHash } from '#shared/log/merkle.ts';
import { parseNote } from '#shared/log/signed-note.ts';
import { openLog, type TransparencyLog } from '../../../signal-server/log/transparency-log.ts';
import { openKeyFile } from '../../../signal-server/machine/key-file.ts';
import { repetitions } from '../../support/effort.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';

const KILLS = repetitions(20, 100);
const CLIENTS = 16;
/** Every other process is killed at most this long after it began, be it at its first steps. */
const LONGEST_MS = 120;
/** The others have some entries acknowledged before, at least so many and less than so many, however slow the machine is. */
const [LEAST_ACKS, MOST_ACKS] = [3, 48];
/** `CHORUS_TEST_SEED` repeats a run. */
const seed = Number(process.env['CHORUS_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const origin = 'log.example/chorus';
const repository = fileURLToPath(new URL('../../../', import.meta.url));

let folder: string;
let program: string;

beforeAll(async () => {
  folder = await newFolder();
  // As one plain file it begins within milliseconds, so that kills come at every stage of its work.
  await build({
    configFile: false,
    root: repository,
    logLevel: 'silent',
    build: {
      ssr: join(repository, 'test/support/log-appender.ts'),
      outDir: join(folder, 'program'),
      emptyOutDir: true,
      minify: false,
      rollupOptions: { output: { entryFileNames: 'appender.mjs' } },
    },
    ssr: { noExternal: true },
  });
  program = join(folder, 'program', 'appender.mjs');
}, 180_000);
afterAll(() => removeFolder(folder));

/** Numbers in [0, 1) that a seed determines (mulberry32). */
function randomOf(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Kill {
  /** The entries that it must have acknowledged first. */
  readonly acks: number;
  readonly delayMs: number;
}

interface Appender {
  /** Lets it begin, kills it as told, and answers what it had said. */
  runAndKill(leastSize: number, kill: Kill): Promise<string[]>;
}

/** Starts the program, which then waits: the next one does so while what the last one did is checked. */
function startAppender(run: number): Appender {
  const args = [join(folder, 'log'), join(folder, 'log.key'), origin, String(CLIENTS), String(run)];
  const child = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  let [said, failed] = ['', ''];
  child.stderr.on('data', (data: Buffer) => (failed += data.toString()));
  return {
    async runAndKill(leastSize, { acks, delayMs }) {
      let timer: NodeJS.Timeout | null = null;
      child.stdout.on('data', (data: Buffer) => {
        said += data.toString();
        if (timer !== null || said.split('\nack ').length <= acks) return;
        timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
      });
      child.stdin.write(`${leastSize}\n`);
      const [code, signal] = await closed;
      if (timer !== null) clearTimeout(timer);
      expect({ code, signal, failed: errorsIn(failed) }).toEqual({ code: null, signal: 'SIGKILL', failed: [] });
      // The text after the last line feed was cut off.
      return said.split('\n').slice(0, -1);
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

async function expectConsistent(log: TransparencyLog, { size, root }: Checkpoint): Promise<void> {
  expect(size).toBeLessThanOrEqual(log.head.size);
  const proof = await log.consistency(size, log.head.size);
  expect(isConsistent([size, root], [log.head.size, log.head.root], proof)).toBe(true);
}

async function expectEntry(log: TransparencyLog, index: number, entry: string): Promise<void> {
  expect(index).toBeLessThan(log.head.size);
  expect(await log.entry(index)).toEqual(utf8(entry));
}

describe(`a log whose process is killed ${KILLS} times under load (seed ${seed})`, () => {
  it('loses no acknowledged entry and never forks', { timeout: 600_000 }, async () => {
    const random = randomOf(seed);
    const identity = await openKeyFile(join(folder, 'log.key'));
    const acknowledged = new Map<number, string>();
    const heads = new Map<string, Checkpoint>();
    let leastSize = 0;
    let appender = startAppender(0);
    for (let run = 0; run < KILLS; run++) {
      const lines = await appender.runAndKill(leastSize, killOf(run, random));
      if (run + 1 < KILLS) appender = startAppender(run + 1);
      const log = await openLog({ folder: join(folder, 'log'), origin, identity, leastSize });
      const fresh: [number, string][] = [];
      for (const line of lines) {
        const [kind, first = '', ...rest] = line.split(' ');
        if (kind === 'ack') fresh.push([Number(first), rest.join(' ')]);
        if (kind === 'head') {
          const note = new TextDecoder().decode(fromBase64(first));
          const head = parseCheckpoint(parseNote(note).text);
          await expectConsistent(log, head);
          heads.set(note, head);
        }
      }
      for (const [index, entry] of fresh) {
        // Neither was an index given out twice nor an entry twice.
        expect(acknowledged.has(index)).toBe(false);
        acknowledged.set(index, entry);
        await expectEntry(log, index, entry);
      }
      leastSize = Math.max(leastSize, ...fresh.map(([index]) => index + 1));
      await log.close();
    }

    const log = await openLog({ folder: join(folder, 'log'), origin, identity, leastSize });
    for (const [index, entry] of acknowledged) await expectEntry(log, index, entry);
    for (const head of heads.values()) await expectConsistent(log, head);
    expect(new Set(acknowledged.values()).size).toBe(acknowledged.size);
    const [index, entry] = [...acknowledged].at(-1)!;
    const { size, root } = log.head;
    const proof = await log.inclusion(index, size);
    expect(isIncluded(leafHash(utf8(entry)), index, size, proof, root)).toBe(true);
    // Else the kills all came before the first entry, and nothing was tried.
    expect(acknowledged.size).toBeGreaterThan(KILLS);
    await log.close();
  });
});
