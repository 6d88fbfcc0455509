import { made } from 'virtual:made-receipts';
import { expect, test } from 'vitest';
import { concatBytes, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { LogClient } from '#shared/log/log-client.ts';
import { leafHash } from '#shared/log/merkle.ts';
import { parseVerifierKey } from '#shared/log/signed-note.ts';
import { formatTlogProof } from '#shared/log/tlog-proof.ts';
import { LogWatch } from '../../../web/state/log-watch.svelte.ts';
import type { KeyValueStorage } from '../../../web/state/stored.svelte.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { logStatus } from '../../support/page-gallery/receipt-fixtures.ts';

/** A browser that comes back to a log, which shows what `log` says at that time. */
function browser() {
  const values = new Map<string, string>();
  const storage: KeyValueStorage = {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
  };
  const clock = new FakeClock();
  const log = { vkey: made.logKey, note: made.notes.short, isThere: true, asked: 0 };
  const visit = (checkpoint: () => string | Promise<string> = () => log.note) =>
    new LogWatch({
      fetchLog: () => {
        log.asked++;
        if (!log.isThere) return Promise.reject(new ChorusError('server-lost', 'gone'));
        return Promise.resolve(logStatus(clock.wallMs(), { vkey: log.vkey }));
      },
      // Besides checkpoints there is the one tile of the longest.
      openClient: (vkey, memory) =>
        Promise.resolve(
          new LogClient({
            key: parseVerifierKey(vkey),
            fetchBytes: async (path) => (path === 'checkpoint' ? utf8(await checkpoint()) : tileOfLong),
            memory,
            verify,
          }),
        ),
      storage,
      clock,
    });
  /** A tab that has begun to look, and whose log shows `note` only when it is told to. */
  const visitSlowly = async (note: string) => {
    let show = (): void => {};
    const shown = new Promise<string>((resolve) => (show = () => resolve(note)));
    let looked = Promise.resolve();
    const tab = await new Promise<LogWatch>((resolve) => {
      const opened = visit(() => {
        resolve(opened);
        return shown;
      });
      looked = opened.look();
    });
    return { tab, finish: () => (show(), looked) };
  };
  return { log, visit, visitSlowly, clock };
}

const tileOfLong = concatBytes(...Array.from({ length: 9 }, (_, i) => leafHash(utf8(`entry ${i}\n`))));

test('remembers what the log showed from one visit to the next', async () => {
  const { visit, clock } = browser();
  const first = visit();
  await first.look();
  expect(first.finding?.kind).toBe('first-seen');
  expect(first.remembered).toMatchObject({ note: made.notes.short, firstSeenAtMs: clock.wallMs() });
  const second = visit();
  await second.look();
  expect(second.finding?.kind).toBe('same');
  expect(second.isAlarming).toBe(false);
});

test('sees that the log shows another history, and keeps what it showed before', async () => {
  const { log, visit } = browser();
  await visit().look();
  log.note = made.notes.forked;
  const again = visit();
  await again.look();
  expect(again.finding).toMatchObject({
    kind: 'split-view',
    remembered: { note: made.notes.short },
    shown: { note: made.notes.forked },
  });
  expect(again.isAlarming).toBe(true);
  expect(again.remembered?.note).toBe(made.notes.short);
});

test('sees that a receipt was proved in another history than the log shows, and goes on seeing it', async () => {
  const { visit, clock } = browser();
  const watch = visit();
  await watch.look();
  await watch.holdProof(formatTlogProof({ extra: null, index: 0, hashes: [], checkpoint: made.notes.forked }));
  expect(watch.isAlarming).toBe(true);
  expect(watch.remembered?.split).toEqual([made.notes.short, made.notes.forked]);
  await clock.advance(10_000);
  await watch.look();
  expect(watch.finding?.kind).toBe('split-view');
});

test('leaves the proof of another log alone', async () => {
  const { visit } = browser();
  const watch = visit();
  await watch.look();
  await watch.holdProof('x');
  expect([watch.finding?.kind, watch.isAlarming, watch.error]).toEqual(['first-seen', false, null]);
});

test('goes on seeing two histories, whatever the log shows at the next visit, until it is told to begin anew', async () => {
  const { log, visit } = browser();
  await visit().look();
  log.note = made.notes.forked;
  await visit().look();
  log.note = made.notes.short;
  const again = visit();
  await again.look();
  expect(again.finding).toMatchObject({
    kind: 'split-view',
    remembered: { note: made.notes.short },
    shown: { note: made.notes.forked },
  });
  await again.forget();
  expect(again.finding?.kind).toBe('first-seen');
  expect(again.isAlarming).toBe(false);
});

test('a tab that was slow to look leaves the two histories that another has stored', async () => {
  const { log, visit, visitSlowly, clock } = browser();
  const { tab, finish } = await visitSlowly(made.notes.short);
  await visit().look();
  log.note = made.notes.forked;
  await visit().look();
  await finish();
  expect(tab.finding?.kind).toBe('first-seen');
  expect(visit().remembered?.split).toEqual([made.notes.short, made.notes.forked]);
  await clock.advance(10_000);
  await tab.look();
  expect(tab.finding?.kind).toBe('split-view');
});

test('a tab that was slow to look leaves the newer head that another has stored, and compares with it next', async () => {
  const { log, visit, visitSlowly, clock } = browser();
  const { tab, finish } = await visitSlowly(made.notes.short);
  log.note = made.notes.long;
  await visit().look();
  await finish();
  expect(visit().remembered?.note).toBe(made.notes.long);
  await clock.advance(10_000);
  await tab.look();
  expect(tab.finding).toMatchObject({ kind: 'shrunk', remembered: { note: made.notes.long } });
});

test('a tab that was slow to see two histories keeps both beside the newer head that another has stored', async () => {
  const { log, visit, visitSlowly } = browser();
  await visit().look();
  const { tab, finish } = await visitSlowly(made.notes.forked);
  log.note = made.notes.long;
  const other = visit();
  await other.look();
  expect(other.finding?.kind).toBe('grown');
  await finish();
  expect(tab.finding?.kind).toBe('split-view');
  expect(visit().remembered).toMatchObject({
    note: made.notes.long,
    split: [made.notes.short, made.notes.forked],
  });
});

test('an open tab takes up what another finds, and that it was told to begin anew', async () => {
  const { log, visit, clock } = browser();
  const tab = visit();
  await tab.look();
  log.note = made.notes.forked;
  const other = visit();
  await other.look();
  log.note = made.notes.short;
  await clock.advance(10_000);
  await tab.look();
  expect(tab.finding?.kind).toBe('split-view');
  await other.forget();
  await clock.advance(10_000);
  await tab.look();
  expect(tab.finding?.kind).toBe('same');
  expect(tab.remembered).toEqual(other.remembered);
});

test('takes no other key for the log it knows, until it is told to begin anew', async () => {
  const { log, visit } = browser();
  await visit().look();
  const other = made.logKey.replace(/\+[0-9a-f]{8}\+/, '+00000000+');
  log.vkey = other;
  const again = visit();
  await again.look();
  expect(again.finding).toEqual({ kind: 'other-key', remembered: made.logKey, shown: other });
  log.vkey = made.logKey;
  log.note = made.notes.forked;
  await again.forget();
  expect(again.finding?.kind).toBe('first-seen');
  expect(again.remembered?.note).toBe(made.notes.forked);
});

test('says that the server is not there, and keeps what it knew', async () => {
  const { log, visit, clock } = browser();
  const watch = visit();
  await watch.look();
  log.isThere = false;
  await clock.advance(10_000);
  await watch.look();
  expect(watch.error?.code).toBe('server-lost');
  expect(watch.finding?.kind).toBe('first-seen');
});

test('looks that come together are one', async () => {
  const { log, visit } = browser();
  const watch = visit();
  await Promise.all([watch.look(), watch.look()]);
  await watch.look();
  expect(log.asked).toBe(1);
});
