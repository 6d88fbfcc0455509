import type { Candidate } from './candidate.ts';

export { FAST_FACTOR, FAST_SLACK_MS, SHADOW_FACTOR } from '#shared/draw/speed-class.ts';

/** The time that a hop adds to a lap, in milliseconds, besides the stage's own work: guesses until links report theirs. */
const DIRECT_HOP_MS = 10;
const RELAY_HOP_MS = 20;
/** Hidden tabs may be slowed down by their browser. */
const HIDDEN_FACTOR = 1.5;

/** Milliseconds for one token: its units one after the other, in turn with the sessions it already runs. */
export function predictedMs(candidate: Candidate): number {
  const { span, layerMs, running, isHidden } = candidate;
  return layerMs * (span.end - span.start) * (1 + running) * (isHidden ? HIDDEN_FACTOR : 1);
}

/** What a hop adds, where both ends can have a data channel and where one cannot. */
export function hopMs(isDirect: boolean): number {
  return isDirect ? DIRECT_HOP_MS : RELAY_HOP_MS;
}

/** Milliseconds for one token, with the hop to it. */
export function turnMs(candidate: Candidate): number {
  return predictedMs(candidate) + hopMs(candidate.webrtc);
}
