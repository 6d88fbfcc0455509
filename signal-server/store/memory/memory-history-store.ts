import type { PeerId, SessionId } from '#shared/ids.ts';
import type { HistoryStore, Totals, SeenVolunteer } from '../history-store.ts';
import { addToTotals } from '../totals.ts';

const NOTHING: Totals = { finished: 0, failed: 0, tokens: 0, checked: 0, settled: 0, unchecked: 0, disputed: 0 };

export function createMemoryHistoryStore(): HistoryStore {
  const volunteers = new Map<PeerId, SeenVolunteer>();
  /** When each session ended. */
  const sessions = new Map<SessionId, number>();
  let totals = NOTHING;

  const add = (id: PeerId, more: Partial<Record<'sessions' | 'tokens' | 'faults', number>>): void => {
    const known = volunteers.get(id);
    if (known === undefined) return;
    const { sessions: served = 0, tokens = 0, faults = 0 } = more;
    volunteers.set(id, {
      ...known,
      sessions: known.sessions + served,
      tokens: known.tokens + tokens,
      faults: known.faults + faults,
    });
  };
  return {
    async volunteerSeen(id, kind, atMs) {
      const known = volunteers.get(id) ?? { firstSeenMs: atMs, sessions: 0, tokens: 0, faults: 0 };
      volunteers.set(id, { ...known, kind, lastSeenMs: atMs });
    },
    async sessionEnded(session) {
      const { id, endedMs, positions, primaries, shadows, faults } = session;
      if (sessions.has(id)) return;
      sessions.set(id, endedMs);
      for (const replica of [...primaries, ...shadows]) add(replica, { sessions: 1, tokens: positions });
      for (const fault of faults) add(fault, { faults: 1 });
      totals = addToTotals(totals, session);
    },
    async prune(beforeMs) {
      for (const [id, endedMs] of sessions) if (endedMs < beforeMs) sessions.delete(id);
    },
    get totals() {
      return { ...totals };
    },
    volunteer(id) {
      const known = volunteers.get(id);
      return known === undefined ? null : { ...known };
    },
  };
}
