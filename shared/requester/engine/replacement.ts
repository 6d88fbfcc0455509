import type { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { Route } from '../../route/route.ts';
import type { LiveSession } from '../session/live-session.ts';

/** Another route that is asked for while the answer goes on in its session as well as it can. */
export interface Replacement {
  readonly session: LiveSession;
  /** `bare`: a stage has nobody who checks it; `slow`: too slow, as far as can be told; `lost`: nothing comes any more. */
  readonly why: 'bare' | 'slow' | 'lost';
  readonly error: ChorusError;
  readonly blamed: readonly PeerId[];
}

/** True if the answer is better off on `route` than where it is. */
export function isBetter(route: Route, { session, why, blamed }: Replacement): boolean {
  const named = route.stages.flatMap(({ primary, shadows }) => [primary, ...shadows]);
  if (named.some(({ id }) => blamed.includes(id))) return false;
  if (why === 'lost') return true;
  const bare = ({ stages }: Route): number => stages.filter(({ shadows }) => shadows.length === 0).length;
  // Speed is not worth a check; a stage that lost its shadow had one by its route.
  return bare(route) <= bare(session.route);
}
