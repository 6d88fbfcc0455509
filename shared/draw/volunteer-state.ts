import { utf8 } from '../bytes.ts';
import type { PeerId } from '../ids.ts';
import type { PoolName, RosterMember, Section } from './roster.ts';
import { FAST_FACTOR, keepsUp, SHADOW_FACTOR } from './speed-class.ts';

/** What a volunteer signs of itself while it works, again and again: that it has no room left is its own word, not the server's. */
export interface VolunteerState {
  readonly sessions: number;
  /** Sessions that it takes at once. */
  readonly slots: number;
  /** Wall-clock milliseconds of the server. */
  readonly atMs: number;
}

/** How often a volunteer that has sessions signs its state, besides each time that they change. */
export const STATE_EVERY_MS = 5_000;
/** The oldest state that shows somebody to be busy. */
export const MAX_STATE_AGE_MS = 2 * STATE_EVERY_MS;

/** The bytes that a volunteer signs. */
export function stateBytes(
  { sessions, slots, atMs }: VolunteerState,
  volunteer: PeerId,
  server: PeerId,
): Uint8Array<ArrayBuffer> {
  return utf8(['chorus-volunteer-state/1', server, volunteer, sessions, slots, atMs, ''].join('\n'));
}

/** Whether such a state is a reason not to draw its volunteer: no slot is left, or it would be slower beside what it runs than its pool allows. */
export function isBusy(
  state: VolunteerState,
  pool: PoolName,
  { speed }: Pick<RosterMember, 'speed'>,
  { fastest }: Pick<Section, 'fastest'>,
): boolean {
  return state.sessions >= state.slots || isLoaded(state.sessions, pool, { speed }, { fastest });
}

/** True if somebody who runs so many sessions would be slower beside them than its pool allows; of the slow nothing is asked. */
export function isLoaded(
  sessions: number,
  pool: PoolName,
  { speed }: Pick<RosterMember, 'speed'>,
  { fastest }: Pick<Section, 'fastest'>,
): boolean {
  const factor = pool === 'lead' ? FAST_FACTOR : SHADOW_FACTOR;
  return pool !== 'slow' && sessions > 0 && !keepsUp(speed, fastest, factor, sessions);
}

/** True if the state was signed within the rhythm when the route was given. */
export function isFresh({ atMs }: Pick<VolunteerState, 'atMs'>, issuedAtMs: number): boolean {
  return Math.abs(issuedAtMs - atMs) <= MAX_STATE_AGE_MS;
}
