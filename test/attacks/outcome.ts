import type { PeerId } from '#shared/ids.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { AnswerEvent } from '#shared/session/answer-event.ts';

/** What became of one answer with a liar in the network. */
export interface Outcome {
  /** Chunks in which the liar lied until it was named, or until the end. */
  readonly liedChunks: number;
  readonly isCaught: boolean;
  readonly codes: readonly string[];
  /** Named faults of volunteers that did nothing wrong. */
  readonly falseAccusations: number;
  /** Tokens that differ from the honest answer and were reported as checked or settled. */
  readonly wrongShown: number;
  /** Whether the whole text, and every tier in it, is as without the liar. */
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
  let caughtAt = Infinity;
  let falseAccusations = 0;
  let tier = 'none';
  let spans = 0;
  for (const event of events) {
    if (event.type === 'token') shown.set(event.position, event.token);
    if (event.type === 'rerouted')
      for (const position of shown.keys()) if (position >= event.from) shown.delete(position);
    if (event.type === 'end') tier = event.tier;
    if (event.type === 'fault') {
      codes.push(event.code);
      if (liars.includes(event.volunteer)) caughtAt = Math.min(caughtAt, Math.floor(event.start / CHUNK_POSITIONS));
      else falseAccusations++;
    }
    if (event.type === 'checked') {
      spans += event.check.stages.length;
      if (event.check.tier !== 'checked' && event.check.tier !== 'settled') continue;
      for (const [position, token] of shown) {
        if (position <= event.check.end && token !== truth[position - promptLength]) wrong.add(position);
      }
    }
  }
  const answer = [...shown.entries()].sort(([a], [b]) => a - b).map(([, token]) => token);
  return {
    liedChunks: new Set(lied.filter((chunk) => chunk <= caughtAt)).size,
    isCaught: caughtAt < Infinity,
    codes,
    falseAccusations,
    wrongShown: wrong.size,
    isTextRight: answer.length === truth.length && answer.every((token, i) => token === truth[i]),
    tier,
    spans,
  };
}
