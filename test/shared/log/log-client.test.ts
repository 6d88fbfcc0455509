import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { LogClient } from '#shared/log/log-client.ts';
import { describeLogView, type LogView } from '#shared/log/log-history.ts';
import { treeRoot } from '#shared/log/merkle.ts';
import { encodeEntries, parseTilePath, TILE_WIDTH } from '#shared/log/tile-path.ts';
import { formatTlogProof } from '#shared/log/tlog-proof.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { checkpointNote, logKeyOf, treeOf } from '../../support/signed-notes.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const [identity, stranger] = (await makeIdentities(2)) as [Signer, Signer];
type Signer = Awaited<ReturnType<typeof makeIdentities>>[number];
const origin = 'log.example/chorus';
const MOST = 70_000;
const FORK_AT = 500;
const own = Array.from({ length: MOST }, (_, i) => utf8(`entry ${i}`));
const other = own.map((entry, i) => (i < FORK_AT ? entry : utf8(`other ${i}`)));
const { signal } = new AbortController();

interface Branch {
  readonly entries: readonly Uint8Array[];
  readonly read: ReturnType<typeof treeOf>;
}
const main: Branch = { entries: own, read: treeOf(own) };
const fork: Branch = { entries: other, read: treeOf(other) };

/** A log as a server with nothing but files shows it: the tiles of one size. */
class StaticLog {
  branch = main;
  size = 0;
  signer = identity;
  name = origin;
  /** Changes what is fetched. */
  tamper = (_path: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => bytes;
  /** Only full tiles are left. */
  isPruned = false;
  readonly fetched: string[] = [];

  readonly fetchBytes = async (path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> => {
    this.fetched.push(path);
    const bytes = this.tamper(path, await this.#bytes(path));
    if (bytes.length > maxBytes) throw new ChorusError('too-large', 'more than was asked for');
    return bytes;
  };

  async #bytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const { branch, size } = this;
    if (path === 'checkpoint') {
      return utf8(await checkpointNote(this.signer, { origin: this.name, size, root: treeRoot(size, branch.read) }));
    }
    const tile = parseTilePath(path);
    if (tile === null || (this.isPruned && tile.width < TILE_WIDTH)) throw new ChorusError('server-lost', 'not there');
    const first = tile.index * TILE_WIDTH;
    if (tile.level === 'entries') return encodeEntries(branch.entries.slice(first, first + tile.width));
    const level = tile.level * 8;
    return concatBytes(...Array.from({ length: tile.width }, (_, i) => branch.read(level, first + i)));
  }
}

function clientOf(log: StaticLog, remembered: string | null = null) {
  const memory: { note: string | null; split: readonly [string, string] | null } = { note: remembered, split: null };
  const client = new LogClient({
    key: logKeyOf(identity, origin),
    fetchBytes: log.fetchBytes,
    verify,
    memory: {
      load: async () => memory.note,
      save: async (note) => {
        memory.note = note;
      },
      loadSplit: async () => memory.split,
      saveSplit: async (split) => {
        memory.split = split;
      },
    },
  });
  return { client, memory };
}

const noteAt = (size: number, { read }: Branch = main, by = identity) =>
  checkpointNote(by, { origin, size, root: treeRoot(size, read) });

/** The view of a client that remembers `remembered`, of a log at `size`. */
async function look(remembered: string | null, size: number, change: (log: StaticLog) => void = () => {}) {
  const log = new StaticLog();
  log.size = size;
  change(log);
  const { client, memory } = clientOf(log, remembered);
  return { view: await client.look(signal), memory, log };
}

describe('the proof of a receipt', () => {
  const proofOf = (checkpoint: string) => formatTlogProof({ extra: null, index: 0, hashes: [], checkpoint });

  /** The verdict on a proof by a client that remembers `remembered`, while the log is at `size`. */
  async function hold(checkpoint: string, remembered: string | null, size: number) {
    const log = new StaticLog();
    log.size = size;
    const { client, memory } = clientOf(log, remembered);
    return { view: await client.holdProof(proofOf(checkpoint), signal), memory, log };
  }

  it('shows two histories where it is in another tree of the size that is remembered, without asking the log', async () => {
    const notes = [await noteAt(700), await noteAt(700, fork)] as const;
    const { view, memory, log } = await hold(notes[1], notes[0], 700);
    expect([view?.kind, memory.split, log.fetched]).toEqual(['split-view', notes, []]);
  });

  it.each([null, 600, 800])(
    'shows two histories where the log shows another tree, with %s remembered',
    async (size) => {
      const proved = await noteAt(700, fork);
      const { view, memory } = await hold(proved, size === null ? null : await noteAt(size), 1_000);
      expect([view?.kind, memory.split]).toEqual(['split-view', [proved, await noteAt(1_000)]]);
    },
  );

  it.each([600, 700, 800])(
    'is of the log that is remembered at %i entries where both are a part of it',
    async (size) => {
      const { view, memory } = await hold(await noteAt(700), await noteAt(size), 1_000);
      expect(['same', 'grown']).toContain(view?.kind);
      expect(memory.note).toBe(await noteAt(size === 700 ? 700 : 1_000));
    },
  );

  it('is remembered where it is the first that is seen of the log', async () => {
    expect((await hold(await noteAt(700), null, 700)).memory.note).toBe(await noteAt(700));
  });

  it('says nothing of this log where another key signed it', async () => {
    const { view, memory } = await hold(await noteAt(700, fork, stranger), await noteAt(700), 700);
    expect([view, memory.split]).toEqual([null, null]);
  });
});

describe('a client of a log', () => {
  it('remembers what it sees first, and everything that it grows to', async () => {
    const log = new StaticLog();
    const { client, memory } = clientOf(log);
    expect((await client.look(signal)).kind).toBe('first-seen');
    for (const size of [1, 255, 256, 257, 1_000, 65_536, 65_537, MOST]) {
      log.size = size;
      expect(await client.look(signal)).toMatchObject({ kind: 'grown', head: { size } });
      expect(memory.note).toBe(await noteAt(size));
      expect((await client.look(signal)).kind).toBe('same');
    }
  });

  it('takes every growth, with tiles that a verified checkpoint implies and no others', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(3_000), fc.nat(3_000), fc.boolean(), async (a, b, isFar) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b) + (isFar ? 66_000 : 0)];
        const { view, log } = await look(await noteAt(from), to);
        expect(view.kind).toBe(from === to ? 'same' : 'grown');
        for (const path of log.fetched.slice(1)) {
          const { level, index, width } = parseTilePath(path)!;
          const count = Math.floor(to / 256 ** (level as number));
          expect(width).toBe(Math.min(TILE_WIDTH, count - index * TILE_WIDTH));
        }
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    [600, 600],
    [600, 601],
    [600, MOST],
    [501, 501],
    [66_000, 66_001],
  ])('sees a split view where %i entries became another %i, and keeps both notes', async (from, to) => {
    const before = await noteAt(from);
    const { view, memory } = await look(before, to, (log) => (log.branch = fork));
    expect(view).toMatchObject({
      kind: 'split-view',
      remembered: { size: from, note: before },
      shown: { size: to, note: await noteAt(to, fork) },
    });
    expect(memory.note).toBe(before);
  });

  it('goes on seeing a split view, whatever the log shows next', async () => {
    const log = new StaticLog();
    const { client, memory } = clientOf(log, await noteAt(600));
    [log.branch, log.size] = [fork, 700];
    const seen = await client.look(signal);
    expect(memory.split).toEqual([await noteAt(600), await noteAt(700, fork)]);
    [log.branch, log.size] = [main, 800];
    expect(await client.look(signal)).toEqual(seen);
    log.tamper = () => {
      throw new ChorusError('server-lost', 'no answer');
    };
    expect(await client.look(signal)).toEqual(seen);
  });

  it('takes no two histories from a memory of another log', async () => {
    const log = new StaticLog();
    log.size = 300;
    const { client, memory } = clientOf(log, await noteAt(100));
    memory.split = [await noteAt(100), await noteAt(100, fork, stranger)];
    expect((await client.look(signal)).kind).toBe('grown');
  });

  it('does not mind a fork after what it remembers', async () => {
    const { view } = await look(await noteAt(FORK_AT), 600, (log) => (log.branch = fork));
    expect(view.kind).toBe('grown');
  });

  it('sees that a log has shrunk, and goes on remembering', async () => {
    const before = await noteAt(600);
    const { view, memory } = await look(before, 599);
    expect(view).toMatchObject({ kind: 'shrunk', remembered: { size: 600 }, shown: { size: 599 } });
    expect(memory.note).toBe(before);
  });

  it('accuses nobody of a split view because of tiles that are not the log’s', async () => {
    const flip = (_: string, bytes: Uint8Array<ArrayBuffer>) => bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte));
    for (const part of ['tile/0/', 'tile/1/', 'tile/0/002.p', 'tile/0/000']) {
      const tamper = (path: string, bytes: Uint8Array<ArrayBuffer>) =>
        path.startsWith(part) ? flip(path, bytes) : bytes;
      const { view, log } = await look(await noteAt(200), 700, (each) => (each.tamper = tamper));
      expect(view).toMatchObject(
        log.fetched.some((path) => path.startsWith(part))
          ? { kind: 'unusable', error: { code: 'digest-mismatch' } }
          : { kind: 'grown' },
      );
    }
  });

  it('reads full tiles where unfinished ones are gone', async () => {
    const log = new StaticLog();
    log.size = 300;
    log.isPruned = true;
    const { client } = clientOf(log, await noteAt(100));
    expect((await client.look(signal)).kind).toBe('grown');
  });

  it.each([
    ['another origin', 'wrong-peer', (log: StaticLog): void => void (log.name = 'other.example')],
    ['another key', 'bad-signature', (log: StaticLog): void => void (log.signer = stranger)],
    ['no checkpoint', 'bad-message', (log: StaticLog): void => void (log.tamper = () => utf8('hello\n'))],
    ['no text', 'bad-message', (log: StaticLog): void => void (log.tamper = () => Uint8Array.of(0xff))],
    ['too much', 'too-large', (log: StaticLog): void => void (log.tamper = () => new Uint8Array(70_000))],
    ['short tiles', 'digest-mismatch', (log: StaticLog): void => void (log.tamper = cutTiles)],
  ] as const)('uses nothing of a log with %s', async (_, code, change) => {
    const before = await noteAt(100);
    const { view, memory } = await look(before, 300, change);
    expect(view).toMatchObject({ kind: 'unusable', error: { code } });
    expect(memory.note).toBe(before);
  });

  it('says that a log cannot be reached', async () => {
    const log = new StaticLog();
    const { client, memory } = clientOf(log, null);
    log.tamper = () => {
      throw new ChorusError('server-lost', 'no answer');
    };
    expect(await client.look(signal)).toMatchObject({ kind: 'unreachable', error: { code: 'server-lost' } });
    expect(memory.note).toBeNull();
  });

  it('ends where it is told to', async () => {
    const aborter = new AbortController();
    const log = new StaticLog();
    log.tamper = () => {
      aborter.abort(new ChorusError('cancelled', 'enough'));
      throw new ChorusError('server-lost', 'no answer');
    };
    expect(await codeOfAsync(clientOf(log).client.look(aborter.signal))).toBe('cancelled');
  });

  it('reads entries of any range', async () => {
    const log = new StaticLog();
    log.size = 1_000;
    const { client } = clientOf(log);
    const { head } = (await client.look(signal)) as Extract<LogView, { kind: 'first-seen' }>;
    for (const [start, end] of [
      [0, 0],
      [0, 1],
      [255, 257],
      [256, 512],
      [700, 1_000],
      [0, 1_000],
    ] as const) {
      expect(await client.entries(head, start, end, signal)).toEqual(own.slice(start, end));
    }
    for (const [start, end] of [
      [-1, 5],
      [6, 5],
      [0, 1_001],
    ] as const) {
      await expect(client.entries(head, start, end, signal)).rejects.toBeInstanceOf(RangeError);
    }
  });

  it.each([
    ['changed', () => encodeEntries(other.slice(512, 768))],
    ['fewer', () => encodeEntries(own.slice(512, 767))],
    ['in another order', () => encodeEntries(own.slice(512, 768).reverse())],
  ])('refuses entries that are %s', async (_, bundle) => {
    const log = new StaticLog();
    log.size = 1_000;
    const { client } = clientOf(log);
    const { head } = (await client.look(signal)) as Extract<LogView, { kind: 'first-seen' }>;
    log.tamper = (path, bytes) => (path === 'tile/entries/002' ? bundle() : bytes);
    expect(await codeOfAsync(client.entries(head, 500, 600, signal))).toBe('digest-mismatch');
    expect(await client.entries(head, 0, 500, signal)).toHaveLength(500);
  });

  it('begins anew where its memory is not of this log', async () => {
    const { view } = await look(await noteAt(100, main, stranger), 300);
    expect(view.kind).toBe('first-seen');
  });
});

describe('what a view means', () => {
  it('is said in plain words', async () => {
    const words = async (remembered: string | null, size: number, change?: (log: StaticLog) => void) =>
      describeLogView((await look(remembered, size, change)).view);
    expect(await words(null, 1)).toContain('first time, with 1 entry.');
    expect(await words(await noteAt(5), 5)).toContain('Unchanged, with 5 entries');
    expect(await words(await noteAt(5), 2_000)).toContain('from 5 entries to 2,000 entries');
    expect(await words(await noteAt(600), 700, (log) => (log.branch = fork))).toContain('two different histories');
    expect(await words(await noteAt(600), 5)).toContain('had signed 600 entries before');
    expect(await words(null, 5, (log) => (log.signer = stranger))).toContain('not this log');
  });
});

function cutTiles(path: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return path.startsWith('tile') ? bytes.slice(0, -32) : bytes;
}
