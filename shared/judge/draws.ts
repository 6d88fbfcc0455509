import type { Candidates } from '../rows/logits-row.ts';
import { sampleToken, tokenGap, type Sampling } from '../rows/sampler.ts';

/** The tokens that were drawn from the logits rows of a span. */
export interface Sampled {
  readonly sampling: Sampling;
  /** One for each logits row; null where none was drawn from it. */
  readonly tokens: readonly (number | null)[];
}

/** The tokens that were drawn from the primary's rows of a span, against what another replica's rows draw in their place. */
export interface Draws {
  /** Tokens that were drawn. */
  readonly drawn: number;
  /** Those of them that the other replica's rows do not draw. */
  readonly lost: number;
  /** The position of the first of these; null where there is none. */
  readonly firstLost: number | null;
}

/** A draw that goes on in place of the primary's. */
export interface Redraw {
  /** Of the token. */
  readonly position: number;
  readonly token: number;
  readonly logprob: number;
}

/** The draws of a replica's rows in full. */
export interface ComparedDraws {
  readonly draws: Draws;
  /** The draw of the other replica at `draws.firstLost`; null where none was lost. */
  readonly redraw: Redraw | null;
  /** How far its rows are from giving the tokens that were drawn, at most (`tokenGap`). */
  readonly gap: number;
}

/**
 * Draws from another replica's rows, the first of which is that of position `firstRow`, wherever a token was drawn; null
 * where none was, or where there are not as many rows.
 */
export function compareDraws(
  rows: readonly Candidates[],
  firstRow: number,
  sampled: Sampled | null,
): ComparedDraws | null {
  if (sampled === null || rows.length !== sampled.tokens.length) return null;
  const { sampling, tokens } = sampled;
  let [drawn, lost, gap] = [0, 0, 0];
  let redraw: Redraw | null = null;
  for (const [i, token] of tokens.entries()) {
    if (token === null) continue;
    drawn += 1;
    // The row of a position decides the token of the next one.
    const position = firstRow + i + 1;
    const other = sampleToken(rows[i]!, sampling, position);
    if (other.token === token) continue;
    lost += 1;
    redraw ??= { position, ...other };
    gap = Math.max(gap, tokenGap(rows[i]!, sampling, position, token));
  }
  if (drawn === 0) return null;
  return { draws: { drawn, lost, firstLost: redraw?.position ?? null }, redraw, gap };
}

/** The part of `sampled`, of which the last row is that of position `end` - 1, that is about tokens at positions up to `last`. */
export function sampledUpTo({ sampling, tokens }: Sampled, end: number, last: number): Sampled {
  const first = end - tokens.length;
  return { sampling, tokens: tokens.map((token, i) => (first + i + 1 > last ? null : token)) };
}
