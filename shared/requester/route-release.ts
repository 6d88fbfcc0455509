import type { SessionId } from '../ids.ts';
import { noCounts } from '../judge/finding.ts';
import type { Release, SessionEffect } from './requester-event.ts';

/** Gives a route back that was used for no answer. */
export function releaseMessage(session: SessionId, outcome: Release['outcome']): Release {
  return {
    type: 'release',
    session,
    outcome,
    tokens: 0,
    positions: 0,
    tokensPerSecond: null,
    faults: [],
    stalled: [],
    checks: noCounts(),
  };
}

/** Gives the route of a replay back to the server. */
export function releaseOfReplay(session: SessionId, outcome: Release['outcome']): SessionEffect {
  return { type: 'release', release: releaseMessage(session, outcome) };
}
