import type { PeerId } from '#shared/ids.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';

/** The fate of one answer with a liar in the network. */
export interface Outcome {
  /** Chunks in which the liar lied until it was named, or until the end. */
  readonly liedChunks: number;
  readonly isCaught: boolean;
  readonly codes: readonly string[];
  /** Volunteers that did nothing wrong, and were named at fault or left out of the next route as if they had. */
  readonly falseAccusations: number;
  /** Tokens that differ from the honest answer and were reported as checked or settled. */
  readonly wrongShown: number;
  /** Whether some token that was shown, checked or not, was another than the honest one. */
  readonly hasMoved: boolean;
  /** Whether the text that stands in the end is the honest one. */
  readonly isTextRight: boolean;
  readonly tier: string;
  readonly spans: number;
}

/** `lied`: chunks of this answer in which somebody lied, in order. */
export function outcomeOf(
  events: readonly AnswerEvent[],
  truth: readonly number[],
  promptLength: number,
  liars: readonly PeerId[],
  lied: readonly number[],
): Outcome {
  const shown = new Map<number, number>();
  const wrong = new Set<number>();
  const codes: string[] = [];
  let hasMoved = false;
  let tier = 'none';
  let spans = 0;
  // The named volunteers, by the first position that each was named for; a volunteer is left out before its fault is told.
  const [leftOut, blamed] = [new Map<PeerId, number>(), new Map<PeerId, number>()];
  for (const event of events) {
    if (event.type === 'token') {
      shown.set(event.position, event.token);
      hasMoved ||= event.token !== truth[event.position - promptLength];
    }
    if (event.type === 'rerouted' || event.type === 'redrawn') {
      for (const position of shown.keys()) if (position >= event.from) shown.delete(position);
      // Whose draw went on instead is left out of nothing.
      if (event.type === 'rerouted' && event.volunteer !== null) leftOut.set(event.volunteer, event.from);
    }
    if (event.type === 'end') tier = event.tier;
    if (event.type === 'fault') {
      codes.push(event.code);
      blamed.set(event.volunteer, Math.min(event.start, blamed.get(event.volunteer) ?? Infinity));
    }
    if (event.type === 'checked') {
      spans += event.check.stages.length;
      if (event.check.tier !== 'checked' && event.check.tier !== 'settled') continue;
      for (const [position, token] of shown) {
        if (position <= event.check.end && token !== truth[position - promptLength]) wrong.add(position);
      }
    }
  }
  const named = new Map([...leftOut, ...blamed]);
  const caughtAt = Math.min(...liars.map((liar) => Math.floor((named.get(liar) ?? Infinity) / CHUNK_POSITIONS)));
  const answer = [...shown.entries()].sort(([a], [b]) => a - b).map(([, token]) => token);
  return {
    liedChunks: new Set(lied.filter((chunk) => chunk <= caughtAt)).size,
    isCaught: caughtAt < Infinity,
    // Left out of the next route without a fault of the check.
    codes: [...leftOut.keys()].some((volunteer) => !blamed.has(volunteer)) ? [...codes, 'left out'] : codes,
    falseAccusations: [...named.keys()].filter((volunteer) => !liars.includes(volunteer)).length,
    wrongShown: wrong.size,
    hasMoved,
    isTextRight: answer.length === truth.length && answer.every((token, i) => token === truth[i]),
    tier,
    spans,
  };
}
