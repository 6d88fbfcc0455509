import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { HistoryStore, PastSession } from '../../signal-server/store/history-store.ts';
import { session, volunteer } from '../support/past-session.ts';
import { overwrite, type OpenedStore } from './opened-store.ts';

const sessionOf = (digit: string, more: Partial<PastSession> = {}): PastSession => ({
  ...session,
  id: digit.repeat(32) as SessionId,
  ...more,
});

/** The contract of every HistoryStore. */
export function describeHistoryStore(name: string, open: () => Promise<OpenedStore<HistoryStore>>): void {
  describe(`history kept by ${name}`, () => {
    let opened: OpenedStore<HistoryStore>;
    let store: HistoryStore;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
    });
    afterEach(() => opened.release());

    it('is empty at first', () => {
      expect(store.totals).toEqual({
        ...{ finished: 0, failed: 0, tokens: 0 },
        ...{ checked: 0, settled: 0, unchecked: 0, disputed: 0 },
      });
      expect(store.volunteer(volunteer)).toBeNull();
    });

    it('is what it was told when opened again', async () => {
      await store.volunteerSeen(volunteer, 'tab', 5);
      await store.volunteerSeen(volunteer, 'cli', 9);
      await store.sessionEnded(session);
      store = await opened.reopen();
      expect(store.volunteer(volunteer)).toEqual({
        kind: 'cli',
        firstSeenMs: 5,
        lastSeenMs: 9,
        sessions: 1,
        tokens: 7,
        faults: 0,
      });
      expect(store.totals).toEqual({ finished: 1, failed: 0, tokens: 7, ...session.checks });
    });

    it('is read before it is confirmed', async () => {
      const seen = store.volunteerSeen(volunteer, 'tab', 5);
      const ended = store.sessionEnded(session);
      expect(store.volunteer(volunteer)).toMatchObject({ sessions: 1, tokens: 7 });
      expect(store.totals).toMatchObject({ finished: 1, tokens: 7 });
      await Promise.all([seen, ended]);
      expect(store.totals).toMatchObject({ finished: 1, tokens: 7 });
    });

    it('counts a session once, however often it is told', async () => {
      await store.volunteerSeen(volunteer, 'tab', 5);
      await Promise.all([store.sessionEnded(session), store.sessionEnded({ ...session, tokens: 100 })]);
      await store.sessionEnded({ ...session, outcome: 'failed' });
      expect(store.volunteer(volunteer)).toMatchObject({ sessions: 1, tokens: 7 });
      expect(store.totals).toMatchObject({ finished: 1, failed: 0, tokens: 7 });
    });

    it('counts the work of shadows like that of primaries, by what passed their stages', async () => {
      const shadow = 'd'.repeat(64) as PeerId;
      for (const id of [volunteer, shadow]) await store.volunteerSeen(id, 'tab', 5);
      await store.sessionEnded({ ...session, positions: 40, shadows: [shadow] });
      for (const id of [volunteer, shadow]) expect(store.volunteer(id)).toMatchObject({ sessions: 1, tokens: 40 });
      expect(store.totals.tokens).toBe(7);
    });

    it('counts what failed apart, and blames each volunteer', async () => {
      await store.volunteerSeen(volunteer, 'tab', 5);
      await store.sessionEnded(sessionOf('1', { outcome: 'failed', faults: [volunteer] }));
      await store.sessionEnded(sessionOf('2', { outcome: 'cancelled' }));
      expect(store.totals).toMatchObject({ finished: 1, failed: 1, tokens: 14, checked: 6, settled: 2, unchecked: 4 });
      expect(store.volunteer(volunteer)).toMatchObject({ sessions: 2, faults: 1 });
    });

    it('knows nothing of volunteers it was not told of', async () => {
      await store.sessionEnded(session);
      expect(store.volunteer(volunteer)).toBeNull();
    });

    it('drops old sessions and keeps what they add up to', async () => {
      await store.sessionEnded(sessionOf('1', { endedMs: 1_000 }));
      await store.sessionEnded(sessionOf('2', { endedMs: 2_000 }));
      const before = store.totals;
      await store.prune(1_500);
      expect(store.totals).toEqual(before);
      // The first is no longer known, the second is.
      await store.sessionEnded(sessionOf('1', { endedMs: 1_000 }));
      await store.sessionEnded(sessionOf('2', { endedMs: 2_000 }));
      expect(store.totals).toMatchObject({ finished: 3, checked: 9, settled: 3, unchecked: 6 });
      await store.prune(3_000);
      await store.prune(4_000);
      store = await opened.reopen();
      expect(store.totals).toMatchObject({ finished: 3, tokens: 21 });
    });

    it('is not changed through what was handed in or out', async () => {
      await store.volunteerSeen(volunteer, 'tab', 5);
      overwrite(store.totals, { finished: 99 });
      overwrite(store.volunteer(volunteer)!, { tokens: 99 });
      expect(store.totals.finished).toBe(0);
      expect(store.volunteer(volunteer)?.tokens).toBe(0);
    });
  });
}
