import { cp, mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { parseLogHead, type LogHead } from '#shared/log/log-head.ts';
import { parseVerifierKey, type NoteKey } from '#shared/log/signed-note.ts';
import {
  describeHistory,
  holdHead,
  holdNewHead,
  type HistoryOptions,
  type LogHistory,
} from '../../../../signal-server/cli/log/hold-log.ts';
import { LogMemory } from '../../../../signal-server/cli/log/log-memory.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { listen, newFolder, removeFolder, serveLog, type ServedLog } from '../../../support/log-stand.ts';
import { checkpointNote, logKeyOf } from '../../../support/signed-notes.ts';
import { makeIdentities } from '../../../support/test-identity.ts';

const { signal } = new AbortController();
const origin = 'log.example/chorus';

let folder: string;
let log: ServedLog;
let key: NoteKey;
let options: HistoryOptions & { readonly memoryFolder: string };
const running: ServedLog[] = [];

beforeEach(async () => {
  folder = await newFolder();
  options = { memoryFolder: join(folder, 'deep', 'memory'), signal };
  log = await serve('log');
  key = parseVerifierKey(log.service.verifierKey);
});
afterEach(async () => {
  for (const each of running.splice(0)) await each.stop();
  await removeFolder(folder);
});

async function serve(name: string): Promise<ServedLog> {
  await mkdir(join(folder, name), { recursive: true });
  const served = await serveLog(join(folder, name), { origin });
  running.push(served);
  return served;
}

/** Another server that has the log as it is now, and its key. */
async function fork(): Promise<ServedLog> {
  await log.stop();
  running.splice(running.indexOf(log), 1);
  await cp(join(folder, 'log'), join(folder, 'fork'), { recursive: true });
  log = await serve('log');
  return serve('fork');
}

async function grow(count: number, { service }: ServedLog = log, label = 'entry'): Promise<LogHead> {
  await Promise.all(Array.from({ length: count }, (_, i) => service.append(utf8(`${label} ${i}`))));
  return headOf(service);
}

const headOf = ({ checkpoint }: ServedLog['service']): Promise<LogHead> => parseLogHead(checkpoint, key, verify);
const hold = (head: LogHead, at: ServedLog | null = null): Promise<LogHistory> =>
  holdHead(head, key, { ...options, logUrl: at?.url ?? null });
const kept = async (): Promise<number[]> => {
  const { heads } = await new LogMemory(options.memoryFolder, key).read();
  return heads.map(({ size }) => size);
};

describe('a log that a command has seen before', () => {
  it('is remembered, and shown to be the same or said to be open without the log', async () => {
    const five = await grow(5);
    expect((await hold(five)).check.status).toBe('not-checked');
    expect((await hold(five)).check).toMatchObject({ name: 'log-history', status: 'passed' });
    const more = await grow(2);
    const open = await hold(more);
    expect([open.check.status, open.kind, open.checkpoints]).toEqual(['not-checked', 'unproven', null]);
    expect(describeHistory(open)).toEqual([]);
    expect(await kept()).toEqual([7, 5]);
    // Said twice is not compared once.
    for (const head of [more, five, more]) expect((await hold(head)).check.status).toBe('not-checked');
  });

  it('is shown to begin with all of it by the log, which then stands for it', async () => {
    const five = await grow(5);
    await hold(five);
    await hold(await grow(295));
    const tip = await grow(100);
    const { check, kind } = await hold(five, log);
    expect([check.status, kind]).toEqual(['passed', 'grown']);
    expect(check.detail).toContain('Grown from 300 entries to 400 entries; nothing before was changed.');
    expect(await kept()).toEqual([tip.size]);
  });

  it('has two histories where it signed another tree of the same size, which both notes show', async () => {
    await grow(5);
    const forked = await fork();
    const [here, there] = [await grow(5), await grow(5, forked, 'other')];
    await hold(here);
    const found = await hold(there);
    expect([found.check.status, found.kind]).toEqual(['failed', 'split-view']);
    expect(found.checkpoints).toEqual([here.note, there.note]);
    const said = describeHistory(found).join('\n');
    expect(said).toContain(here.note.trimEnd());
    expect(said).toContain(there.note.trimEnd());
    expect(said).toContain(found.memory);
    // Nothing that comes later makes one log of two, nor takes the evidence away.
    for (const again of [await hold(here), await hold(await grow(3)), await hold(here, log)]) {
      expect([again.check.status, again.checkpoints]).toEqual(['failed', [here.note, there.note]]);
    }
    const { split } = await new LogMemory(options.memoryFolder, key).read();
    expect(split?.map(({ note }) => note)).toEqual([here.note, there.note]);
  });

  it('has two histories where it has grown from another tree, by its own tiles', async () => {
    await grow(300);
    const forked = await fork();
    const here = await grow(5);
    await hold(here);
    const there = await grow(9, forked, 'other');
    const found = await hold(there, forked);
    expect([found.check.status, found.kind, found.checkpoints]).toEqual([
      'failed',
      'split-view',
      [here.note, there.note],
    ]);
    expect((await hold(here)).check.status).toBe('failed');
  });

  it('has two histories where a receipt’s checkpoint is no part of it, though nothing was remembered', async () => {
    await grow(5);
    const forked = await fork();
    const there = await grow(2, forked, 'other');
    await grow(9);
    const found = await holdHead(there, key, { memoryFolder: null, signal, logUrl: log.url });
    expect([found.check.status, found.kind, found.memory]).toEqual(['failed', 'split-view', null]);
    expect(describeHistory(found)).toContain('Both checkpoints:');
  });

  it('grows from where a fork is yet to come', async () => {
    const five = await grow(5);
    const forked = await fork();
    await hold(five);
    await grow(9, forked, 'other');
    expect((await hold(five, forked)).kind).toBe('grown');
    await grow(9);
    const found = await hold(five, log);
    expect([found.check.status, found.kind]).toEqual(['failed', 'split-view']);
  });

  it('shows fewer entries than before where an older copy answers, and nothing is let go', async () => {
    await grow(5);
    const old = await fork();
    const tip = await grow(5);
    await hold(tip);
    const found = await hold(tip, old);
    expect([found.check.status, found.kind]).toEqual(['failed', 'shrunk']);
    expect(await kept()).toContain(10);
    // Without the log nothing clears it.
    expect((await hold(tip)).check.status).toBe('failed');
    expect((await hold(tip, log)).check.status).toBe('passed');
    expect((await hold(tip)).check.status).toBe('passed');
  });

  it('is not accused of anything where it cannot be reached', async () => {
    const five = await grow(5);
    await hold(five);
    const nobody = await listen((_, response) => response.writeHead(404).end());
    const found = await holdHead(await grow(1), key, { ...options, logUrl: nobody.url });
    await nobody.stop();
    expect([found.check.status, found.kind]).toEqual(['not-checked', 'unreachable']);
    expect(await kept()).toEqual([6, 5]);
  });

  it('is held to what another command has found meanwhile, and nothing that either knows is lost', async () => {
    const five = await grow(5);
    const forked = await fork();
    const [here, there] = [await grow(5), await grow(5, forked, 'other')];
    await hold(five);
    let asked = 0;
    const slow = await listen((_, response) => {
      asked += 1;
      void hold(there).then(() => response.writeHead(404).end());
    });
    const found = await holdHead(here, key, { ...options, logUrl: slow.url });
    await slow.stop();
    expect([asked, found.kind, found.checkpoints]).toEqual([1, 'split-view', [there.note, here.note]]);
    const { heads, split } = await new LogMemory(options.memoryFolder, key).read();
    expect(heads.map(({ note }) => note)).toEqual([there.note, five.note]);
    expect(split?.map(({ note }) => note)).toEqual([there.note, here.note]);
  });

  it('keeps what either of two commands knows that write at once', async () => {
    const heads = [await grow(1), await grow(1)];
    const memories = heads.map(() => new LogMemory(options.memoryFolder, key));
    for (const memory of memories) await memory.read();
    const written = await Promise.all(
      memories.map((memory, i) => memory.write({ heads: [heads[i]!], split: null, isDoubted: false })),
    );
    expect(written.toSorted()).toEqual([false, true]);
    expect(await kept()).toEqual([heads[written.indexOf(true)]!.size]);
    expect(await readdir(options.memoryFolder)).toHaveLength(1);
  });

  it('is remembered though a command was killed that had its file locked', async () => {
    const [one, two] = [await grow(1), await grow(1)];
    await hold(one);
    const [name] = await readdir(options.memoryFolder);
    const lock = join(options.memoryFolder, `.${name}.lock`);
    await writeFile(lock, 'killed');
    await utimes(lock, 0, 0);
    await hold(two);
    expect(await kept()).toEqual([2, 1]);
    expect(await readdir(options.memoryFolder)).toEqual([name]);
  });

  it('is nothing to another log, which has a file of its own', async () => {
    await hold(await grow(5));
    const [other] = await makeIdentities(1);
    const note = await checkpointNote(other!, { origin, size: 5, root: new Uint8Array(32) });
    const otherKey = logKeyOf(other!, origin);
    const head = await parseLogHead(note, otherKey, verify);
    expect((await holdHead(head, otherKey, { ...options, logUrl: null })).kind).toBe('first-seen');
    expect(await readdir(options.memoryFolder)).toHaveLength(2);
  });
});

describe('the log of a server that has just proved an entry', () => {
  const holdNew = (head: LogHead, at: ServedLog = log): Promise<LogHistory> => holdNewHead(head.note, at.url, options);

  it('is held to what is remembered by its tiles', async () => {
    expect((await holdNew(await grow(5))).kind).toBe('first-seen');
    expect((await holdNew(await grow(300))).kind).toBe('grown');
    expect(await kept()).toEqual([305]);
    // Nor does it matter that the log has grown since.
    const head = await grow(2);
    await grow(9);
    expect((await holdNew(head)).kind).toBe('grown');
    expect(await kept()).toEqual([307]);
  });

  it('has two histories where the entry was proved in another tree', async () => {
    await grow(5);
    const forked = await fork();
    const here = await grow(5);
    await holdNew(here);
    const there = await grow(9, forked, 'other');
    const found = await holdNew(there, forked);
    expect([found.check.status, found.kind, found.checkpoints]).toEqual([
      'failed',
      'split-view',
      [here.note, there.note],
    ]);
  });

  it('is not taken for the one that is remembered where its key is another', async () => {
    await holdNew(await grow(5));
    const other = await serve('other');
    await other.service.append(utf8('entry'));
    const found = await holdNewHead(other.service.checkpoint, other.url, options);
    expect(found.check.status).toBe('failed');
    expect(found.check.detail).toContain('shows another key');
    expect(await readdir(options.memoryFolder)).toHaveLength(1);
  });

  it('is not that of a checkpoint that its key has not signed', async () => {
    const head = await grow(5);
    const found = await holdNewHead(head.note.replace('\n5\n', '\n6\n'), log.url, options);
    expect([found.check.status, found.kind]).toEqual(['failed', 'unusable']);
  });
});

describe('what is remembered of a log', () => {
  let memory: LogMemory;
  let written: Record<string, unknown>;
  beforeEach(async () => {
    await hold(await grow(5));
    await hold(await grow(2));
    memory = new LogMemory(options.memoryFolder, key);
    written = JSON.parse(await readFile(memory.path, 'utf8')) as Record<string, unknown>;
  });
  const put = (changed: unknown): Promise<void> => writeFile(memory.path, JSON.stringify(changed));

  it('is a small file, which is there whole or not at all', async () => {
    expect(await readdir(options.memoryFolder)).toHaveLength(1);
    expect((await readFile(memory.path)).length).toBeLessThan(1_000);
    expect(Object.keys(written)).toEqual(['format', 'vkey', 'heads', 'split']);
  });

  const wrong: [string, (memory: Record<string, unknown>) => unknown][] = [
    ['is of another form', (was) => ({ ...was, format: 'chorus-log-memory/2' })],
    ['is of another log', (was) => ({ ...was, vkey: `${String(was['vkey']).slice(0, -2)}A=` })],
    ['says more', (was) => ({ ...was, more: true })],
    ['has no heads', (was) => ({ ...was, heads: [] })],
    ['has too many heads', (was) => ({ ...was, heads: new Array(17).fill((was['heads'] as string[])[0]) })],
    ['has a head that is none', (was) => ({ ...was, heads: ['hello\n'] })],
    ['has a head that the log has not signed', (was) => ({ ...was, heads: swapped(was, '\n7\n', '\n8\n') })],
    ['has a head of another log', (was) => ({ ...was, heads: swapped(was, origin, 'log.example/other') })],
    ['has half a split', (was) => ({ ...was, split: [(was['heads'] as string[])[0]] })],
    ['is a list', (was) => [was]],
  ];
  const swapped = (was: Record<string, unknown>, what: string, by: string): string[] =>
    (was['heads'] as string[]).map((note) => note.replace(what, by));

  it.each(wrong)('is not used, nor begun anew, where the file %s', async (_, change) => {
    await put(change(written));
    expect(await codeOfAsync(memory.read())).toBe('bad-message');
    const before = await readFile(memory.path, 'utf8');
    const found = await hold(await headOf(log.service));
    expect(found.check.status).toBe('failed');
    expect(found.check.detail).toContain(`what ${memory.path} remembers of this log cannot be used`);
    expect(await readFile(memory.path, 'utf8')).toBe(before);
  });

  it.each([
    ['is cut off', (text: string) => text.slice(0, -9)],
    ['is empty', () => ''],
    ['is too large', (text: string) => text + ' '.repeat(5 * 1024 * 1024)],
    ['is no text', () => Uint8Array.of(0xff)],
  ])('is not used where the file %s', async (_, change) => {
    await writeFile(memory.path, change(JSON.stringify(written)));
    expect(await codeOfAsync(memory.read())).toBe('bad-message');
  });

  it('does not fail a receipt because it cannot be written', async () => {
    await rm(options.memoryFolder, { recursive: true });
    await symlink(join(folder, 'nowhere', 'at', 'all'), options.memoryFolder);
    const { check } = await hold(await headOf(log.service));
    expect(check.status).toBe('not-checked');
    expect(check.detail).toContain('It could not be remembered: ');
  });

  it('is not taken for nothing where it cannot be read', async () => {
    await rm(options.memoryFolder, { recursive: true });
    await writeFile(options.memoryFolder, 'a file where a folder should be');
    expect((await hold(await headOf(log.service))).check.status).toBe('failed');
  });
});
