import type { PeerId } from '../../ids.ts';
import type { StageRange } from '../../model/stage.ts';
import { attestedEnds } from '../evidence/attest.ts';

/** One replica's signed chain at the end of one chunk, against the rows computed here. */
export interface ReplayedOutput {
  readonly stage: number;
  readonly replica: PeerId;
  readonly role: 'primary' | 'shadow';
  readonly chunk: number;
  readonly outcome: 'equal' | 'differs' | 'not-compared';
  /** Why it could not be compared bit for bit; empty where it was. */
  readonly reason: string;
}

/** Tokens of the answer, against what the sampler makes of the logits computed here. */
export interface ReplayedTokens {
  readonly compared: number;
  readonly equal: number;
  /** Those that no replica computed logits for: they were fed, and nothing shows that the model drew them. */
  readonly undrawn: number;
  readonly largestGap: number;
  /** Gap within which two honest devices may draw different tokens; 0 where all of these were drawn in these very bits. */
  readonly limit: number;
  /** Tokens whose gap is beyond that of the replica that drew them. */
  readonly beyond: number;
  /** Position of the first of these, null where there is none. */
  readonly firstBeyond: number | null;
}

export interface ReplayReport {
  /** True if something could be compared, nothing of that differs, and every token was drawn from logits. */
  readonly isValid: boolean;
  readonly outputs: readonly ReplayedOutput[];
  readonly tokens: ReplayedTokens;
  /** The answer that was repeated: its cuts, the positions that ran, and how many tokens the prompt has. */
  readonly of: { readonly ranges: readonly StageRange[]; readonly positions: number; readonly promptTokens: number };
}

/** A replay, and whether its tokens spell the answer and are those of the prompt at hand; null without one. */
export type ComparedText = ReplayReport & { readonly isSpelt?: boolean | null; readonly isPrompted?: boolean | null };

/**
 * The outcome of a replay. `same`: every number that the primaries committed to, and every token, is the same here. `close`: what could
 * be compared bit for bit is the same, and every token lies within the gap that its devices may have. `fed`: nothing differs, but some
 * tokens were fed and not drawn.
 */
export type ReplayVerdict = 'same' | 'close' | 'fed' | 'differs' | 'nothing';

export function verdictOf({ isValid, outputs, tokens, isSpelt, isPrompted }: ComparedText): ReplayVerdict {
  if (
    isSpelt === false ||
    isPrompted === false ||
    tokens.beyond > 0 ||
    outputs.some(({ outcome }) => outcome === 'differs')
  )
    return 'differs';
  if (tokens.undrawn > 0) return 'fed';
  if (!isValid) return 'nothing';
  const primaries = outputs.filter(({ role }) => role === 'primary');
  const isSame = primaries.every(({ outcome }) => outcome === 'equal') && tokens.equal === tokens.compared;
  return isSame ? 'same' : 'close';
}

/** Where a replay first differs, of the stages and of the tokens; null where it does not. */
export interface ReplayPlace {
  /** The first chunk in which a stage whose input was the same gave other rows, and the positions of that chunk. */
  readonly rows: (ReplayedOutput & { readonly start: number; readonly end: number }) | null;
  /** The position of the first token that is not drawn here. */
  readonly token: number | null;
}

export function placeOf({ outputs, tokens, of: { positions } }: ReplayReport): ReplayPlace {
  const differing = outputs.filter(({ outcome }) => outcome === 'differs');
  const [first] = differing.sort((a, b) => a.chunk - b.chunk || a.stage - b.stage);
  const rows = first === undefined ? null : { ...first, ...positionsOf(first.chunk, positions) };
  return { rows, token: tokens.firstBeyond };
}

/** The positions [start, end) of a chunk. */
export function positionsOf(chunk: number, positions: number): { readonly start: number; readonly end: number } {
  const ends = attestedEnds(positions);
  return { start: ends[chunk - 1] ?? 0, end: ends[chunk] ?? positions };
}
