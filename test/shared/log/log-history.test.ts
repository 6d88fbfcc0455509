import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { fetchLogHead, parseLogHead, type LogHead } from '#shared/log/log-head.ts';
import {
  describeLogView,
  holdOffline,
  holdToLog,
  MAX_KNOWN_HEADS,
  UNKNOWN_LOG,
  type KnownLog,
} from '#shared/log/log-history.ts';
import { treeRoot } from '#shared/log/merkle.ts';
import { parseTilePath } from '#shared/log/tile-path.ts';
import type { FetchBytes } from '#shared/log/verified-tiles.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { checkpointNote, logKeyOf, treeOf } from '../../support/signed-notes.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const [identity, stranger] = (await makeIdentities(2)) as [Signer, Signer];
type Signer = Awaited<ReturnType<typeof makeIdentities>>[number];
const origin = 'log.example/chorus';
const key = logKeyOf(identity, origin);
const MOST = 600;
const FORK_AT = 10;
const main = treeOf(Array.from({ length: MOST }, (_, i) => utf8(`entry ${i}`)));
const fork = treeOf(Array.from({ length: MOST }, (_, i) => utf8(i < FORK_AT ? `entry ${i}` : `other ${i}`)));
const { signal } = new AbortController();

const headAt = (size: number, tree = main): LogHead => {
  const root = treeRoot(size, tree);
  return { origin, size, root, note: `${tree === main ? 'main' : 'fork'} ${size}` };
};
const tilesOf =
  (tree: typeof main): FetchBytes =>
  async (path) => {
    const { level, index, width } = parseTilePath(path)!;
    return concatBytes(...Array.from({ length: width }, (_, i) => tree(8 * (level as number), 256 * index + i)));
  };
const nothing: FetchBytes = () => Promise.reject(new ChorusError('server-lost', 'no answer'));
const known = (...heads: LogHead[]): KnownLog => ({ heads, split: null, isDoubted: false });
const seen = (heads: readonly LogHead[]): KnownLog =>
  heads.reduce((all, head) => holdOffline(all, head).known, UNKNOWN_LOG);

describe('what is known of a log, without the log', () => {
  it('begins with the first head', () => {
    const head = headAt(5);
    expect(holdOffline(UNKNOWN_LOG, head)).toEqual({ view: { kind: 'first-seen', head }, known: known(head) });
  });

  it('is the same for the same head, and stays as it is', () => {
    const before = known(headAt(5));
    const held = holdOffline(before, headAt(5));
    expect(held.view.kind).toBe('same');
    expect(held.known).toBe(before);
  });

  it('is not unchanged for one of several heads that were never compared, however often it is shown', () => {
    const before = seen([headAt(9), headAt(5)]);
    for (const size of [5, 9, 5]) {
      const { view, known: after } = holdOffline(before, headAt(size));
      expect(view).toMatchObject({ kind: 'unproven', remembered: { size: 14 - size }, shown: { size } });
      expect(after).toBe(before);
    }
  });

  it('stays doubted once what the log showed did not fit, until the log shows otherwise', async () => {
    const shrunk = await holdToLog(known(headAt(300)), headAt(20), tilesOf(main), signal);
    const broken = await holdToLog(known(headAt(300)), headAt(MOST), async () => utf8('x'), signal);
    expect([shrunk.view.kind, broken.view.kind]).toEqual(['shrunk', 'unusable']);
    for (const { known: doubted } of [shrunk, broken]) {
      expect(holdOffline(doubted, headAt(300)).view.kind).toBe('doubted');
      const away = await holdToLog(doubted, headAt(MOST), nothing, signal);
      expect([away.view.kind, away.known.isDoubted]).toEqual(['unreachable', true]);
      const cleared = await holdToLog(doubted, headAt(MOST), tilesOf(main), signal);
      expect(['grown', 'same']).toContain(cleared.view.kind);
      expect(holdOffline(cleared.known, headAt(MOST)).view.kind).toBe('same');
    }
  });

  it.each([
    [5, 9],
    [9, 5],
    [0, 5],
  ])('takes a head of %i after one of %i as neither shown nor wrong, and keeps both', (size, before) => {
    const { view, known: after } = holdOffline(known(headAt(before)), headAt(size));
    expect(view).toMatchObject({ kind: 'unproven', remembered: { size: before }, shown: { size } });
    expect(after.heads.map((head) => head.size)).toEqual([size, before]);
  });

  it('is a split view for another root of a size that was seen, whenever that was', () => {
    const before = seen([headAt(20), headAt(30), headAt(40)]);
    const { view, known: after } = holdOffline(before, headAt(20, fork));
    expect(view).toEqual({ kind: 'split-view', remembered: headAt(20), shown: headAt(20, fork) });
    expect(after).toEqual({ ...before, split: [headAt(20), headAt(20, fork)] });
  });

  it('stays a split view whatever comes later', async () => {
    const split = [headAt(20), headAt(20, fork)] as const;
    const before: KnownLog = { heads: [headAt(20)], split, isDoubted: false };
    for (const head of [headAt(20), headAt(30), headAt(5)]) {
      for (const held of [holdOffline(before, head), await holdToLog(before, head, tilesOf(main), signal)]) {
        expect(held).toEqual({ view: { kind: 'split-view', remembered: split[0], shown: split[1] }, known: before });
      }
    }
  });

  it('has a bounded number of heads, the largest and the last ones', () => {
    const { heads } = seen([headAt(500), ...Array.from({ length: 40 }, (_, i) => headAt(i))]);
    expect(heads).toHaveLength(MAX_KNOWN_HEADS);
    expect(heads.map(({ size }) => size).slice(0, 2)).toEqual([39, 38]);
    expect(heads.at(-1)?.size).toBe(500);
  });
});

describe('what is known of a log, held to the log', () => {
  it('becomes the one head that begins with all of it', async () => {
    const before = seen([headAt(5), headAt(300), headAt(0), headAt(257)]);
    const { view, known: after } = await holdToLog(before, headAt(MOST), tilesOf(main), signal);
    expect(view).toMatchObject({ kind: 'grown', from: { size: 300 }, head: { size: MOST } });
    expect(after).toEqual(known(headAt(MOST)));
  });

  it('is proved by the newest head again as well', async () => {
    const before = known(headAt(5), headAt(300));
    const { view, known: after } = await holdToLog(before, headAt(300), tilesOf(main), signal);
    expect(view.kind).toBe('same');
    expect(after).toEqual(known(headAt(300)));
  });

  it('is a split view if any of it is no part of the log, in whatever order it came', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 6 }),
        fc.nat(5),
        fc.boolean(),
        async (sizes, at, isForked) => {
          const heads = sizes.map((size, i) => headAt(size, isForked && i === at % sizes.length ? fork : main));
          const isSplit = isForked && sizes[at % sizes.length]! > FORK_AT;
          const { view, known: after } = await holdToLog(seen(heads), headAt(401), tilesOf(main), signal);
          expect(view.kind).toBe(isSplit ? 'split-view' : 'grown');
          expect(after.split?.map(({ note }) => note) ?? null).toEqual(
            isSplit ? [`fork ${sizes[at % sizes.length]}`, 'main 401'] : null,
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('keeps every head where the log shows fewer entries, other tiles or nothing', async () => {
    const before = known(headAt(300));
    const shrunk = await holdToLog(before, headAt(299), tilesOf(main), signal);
    expect(shrunk.view).toMatchObject({ kind: 'shrunk', remembered: { size: 300 }, shown: { size: 299 } });
    const unfit = await holdToLog(before, headAt(301), tilesOf(fork), signal);
    expect(unfit.view).toMatchObject({ kind: 'unusable', error: { code: 'digest-mismatch' } });
    const away = await holdToLog(before, headAt(301), nothing, signal);
    expect(away.view).toMatchObject({ kind: 'unreachable', error: { code: 'server-lost' } });
    for (const { known: after } of [shrunk, unfit, away]) {
      expect(after.heads).toHaveLength(2);
      expect(after.heads).toContainEqual(headAt(300));
    }
  });

  it('needs no tiles for a first head', async () => {
    expect((await holdToLog(UNKNOWN_LOG, headAt(5), nothing, signal)).view.kind).toBe('first-seen');
  });

  it('ends where it is told to', async () => {
    const aborter = new AbortController();
    const fetchBytes: FetchBytes = () => {
      aborter.abort(new ChorusError('cancelled', 'enough'));
      return Promise.reject(new ChorusError('server-lost', 'no answer'));
    };
    const held = holdToLog(known(headAt(5)), headAt(9), fetchBytes, aborter.signal);
    expect(await codeOfAsync(held)).toBe('cancelled');
  });
});

describe('a head of a log', () => {
  const note = (by = identity, name = origin) => checkpointNote(by, { origin: name, size: 5, root: treeRoot(5, main) });

  it('is what its log has signed', async () => {
    const text = await note();
    expect(await parseLogHead(text, key, verify)).toEqual({ ...headAt(5), note: text });
    const fetchBytes: FetchBytes = async (path) => (path === 'checkpoint' ? utf8(text) : utf8(''));
    expect((await fetchLogHead(key, fetchBytes, verify, signal)).size).toBe(5);
  });

  it.each([
    ['another origin', 'wrong-peer', () => note(identity, 'other.example')],
    ['another key', 'bad-signature', () => note(stranger)],
    ['no checkpoint', 'bad-message', () => Promise.resolve('hello\n')],
    ['too much', 'too-large', () => Promise.resolve('x'.repeat(70_000))],
  ])('is refused with %s', async (_, code, make) => {
    expect(await codeOfAsync(parseLogHead(await make(), key, verify))).toBe(code);
  });
});

describe('what cannot be found without the log', () => {
  it('is said in plain words', () => {
    const { view } = holdOffline(known(headAt(5)), headAt(9));
    expect(describeLogView(view)).toBe(
      'Signed with 9 entries here, and with 5 entries before; only the log itself can show that one begins with the other.',
    );
  });
});
