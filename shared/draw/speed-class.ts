/** A primary takes at most this many times the quickest's time, and these milliseconds; nobody gains a place by being quicker. */
export const FAST_FACTOR = 2;
export const FAST_SLACK_MS = 5;
/** The same for shadows. Nobody waits for one, so that slower ones may be drawn, and two that are much faster than all others meet less often. */
export const SHADOW_FACTOR = 4;

/** Classes for each doubling of the time. */
const STEPS = 4;
export const MAX_SPEED_CLASS = 80;

/** The speed class of a volunteer that takes so long for one token, with the hop to it: a quarter of a doubling wide each. */
export function speedClassOf(turnMs: number): number {
  return Math.min(MAX_SPEED_CLASS, Math.max(0, Math.ceil(STEPS * Math.log2(Math.max(1, turnMs)))));
}

/** The longest time of a class, in milliseconds. */
export function classMs(speed: number): number {
  return 2 ** (speed / STEPS);
}

/** True if a volunteer of class `speed` that runs `sessions` besides keeps up with the quickest, by this factor. */
export function keepsUp(speed: number, fastest: number, factor: number, sessions = 0): boolean {
  return classMs(speed) * (1 + sessions) <= factor * classMs(fastest) + FAST_SLACK_MS;
}
