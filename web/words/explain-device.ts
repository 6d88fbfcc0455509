import { describeClock } from '#shared/clock.ts';

/** Who sees this device's network address, and who could read what it sends, by the way it takes to others. */
export function explainPath(isRelayOnly: boolean): string {
  return isRelayOnly
    ? 'This tab talks through the server only: no stranger sees its network address, and the server’s operator could read what passes.'
    : 'Those whom this tab talks to directly see its network address; what goes through the server, its operator could read.';
}

/** The clock of this device, where it is far off; null where it is not. */
export function explainClock(aheadMs: number | null): string | null {
  const words = describeClock(aheadMs);
  if (words === null) return null;
  return `This device’s clock is ${words}. Here the server’s time counts, so nothing is lost by it; set it right all the same, for other programs go by it.`;
}
