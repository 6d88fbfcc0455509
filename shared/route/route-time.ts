import { CLOCK_SKEW_MS } from '../limits.ts';
import type { Route } from './route.ts';

/** True while a route is good, by a clock that may be a little off. */
export function isWithinRoute({ issuedAtMs, expiresAtMs }: Route, wallMs: number): boolean {
  return wallMs >= issuedAtMs - CLOCK_SKEW_MS && wallMs <= expiresAtMs + CLOCK_SKEW_MS;
}
