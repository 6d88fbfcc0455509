import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { FinishedSessions } from '../../../signal-server/desks/finished-sessions.ts';
import { createMemoryHistoryStore } from '../../../signal-server/store/memory/memory-history-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf, leaseOf } from '../../support/leases.ts';

const [requester, primary, shadow] = [idOf('a'), idOf('1'), idOf('2')];

/** What is said of volunteers where a session of this role ends with these faults, and without those that stalled. */
function complaintsOf(role: 'answer' | 'referee', codes: readonly ErrorCode[], waitedMs = 0, stalled: PeerId[] = []) {
  const heard: unknown[] = [];
  const unreached: unknown[] = [];
  const logged: unknown[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void logged.push(JSON.parse(line)) });
  const counter = { inc: () => undefined } as never;
  const finished = new FinishedSessions({
    ...{ clock: new FakeClock(2_500), history: createMemoryHistoryStore(), log },
    complaints: { hear: (...words) => heard.push(words), unreached: (...words) => unreached.push(words) },
    metrics: { sessions: counter, tokens: counter, chunks: counter, replays: counter },
    onError: (error) => heard.push(error),
  });
  const lease = { ...leaseOf({ requester, stages: [[primary, shadow]], role }), waitedMs };
  const faults = codes.map((code, i) => ({ volunteer: [primary, shadow][i]!, code }));
  finished.add({
    lease,
    outcome: 'failed',
    tokens: 3,
    positions: 3,
    tokensPerSecond: null,
    faults,
    stalled,
    checks: null,
  });
  const { session } = lease.route;
  return { heard, unreached, logged, about: (id: string) => [requester, session, id] };
}

describe('the end of a session', () => {
  it('brings to the ear of the server whom its requester says to have failed', () => {
    const { heard, about } = complaintsOf('answer', ['timeout', 'check-failed']);
    expect(heard).toEqual([about(primary), about(shadow)]);
  });

  it('blames nobody for a lost link, which is lost by either end or by neither', () => {
    const { heard, unreached, about } = complaintsOf('answer', ['link-lost', 'timeout']);
    expect(heard).toEqual([about(shadow)]);
    // Whom several lose is another matter.
    expect(unreached).toEqual([about(primary)]);
  });

  it('brings to its ear, too, who was slow or silent', () => {
    const { heard, about } = complaintsOf('answer', [], 0, [shadow]);
    expect(heard).toEqual([about(shadow)]);
  });

  it('is logged with how long it took, and how long its requester had waited', () => {
    const { logged } = complaintsOf('answer', [], 812.4);
    expect(logged).toMatchObject([{ msg: 'session ended', outcome: 'failed', tookMs: 2_500, waitedMs: 812 }]);
  });

  it('brings nothing of a replay, whose requester blames it in the session that it settles', () => {
    expect(complaintsOf('referee', ['timeout']).heard).toEqual([]);
  });
});
