import type { PeerId } from '../ids.ts';
import type { Route } from './route.ts';

/**
 * The peers that could read what was asked on these routes. Stage 0 is given its tokens; the rows that later stages and
 * thirds are given tell them to whoever has the weights, so that every replica counts.
 */
export function readersOf(routes: readonly Pick<Route, 'stages'>[], thirds: Iterable<PeerId> = []): Set<PeerId> {
  const replicas = routes.flatMap(({ stages }) => stages.flatMap(({ primary, shadows }) => [primary, ...shadows]));
  return new Set([...replicas.map(({ id }) => id), ...thirds]);
}
