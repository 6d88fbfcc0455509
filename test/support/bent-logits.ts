import type { Candidates } from '#shared/rows/logits-row.ts';
import { readCandidates } from '#shared/rows/logits-row.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import type { Rows } from '#shared/rows/rows.ts';
import { encodeCandidateRow } from '../attacks/logits-rows.ts';
import { TOY_VOCABULARY } from './toy-model.ts';

/** Another logits row in place of one. */
export type BendRow = (row: Candidates) => Candidates;

/** Swaps the two best tokens wherever their logits lie within `gap`. */
export const steer =
  (gap: number): BendRow =>
  ({ logSumExp, tokens, logits }) => {
    const swapped = tokens.slice();
    if (logits[0]! - logits[1]! <= gap) [swapped[0], swapped[1]] = [tokens[1]!, tokens[0]!];
    return { logSumExp, tokens: inOrder(swapped, logits), logits };
  };

/** Moves one token's logit toward the best by `step`, whichever token it is. */
export const push =
  (token: number, step: number): BendRow =>
  (row) =>
    sorted(row, (each, logit) => (each === token ? logit + step : logit));

/** Moves the runner-up by half of what it lacks and a little more, and the best down by the same, where `most` is enough for that. */
export const bend =
  (most: number): BendRow =>
  (row) => {
    const half = (row.logits[0]! - row.logits[1]!) / 2 + most / 8;
    if (half > most) return row;
    return sorted(row, (_, logit, place) => logit + (place === 1 ? half : place === 0 ? -half : 0));
  };

/** Lifts the runner-up by `step` in a third of the rows, and nothing else, so that most of a chunk is as it should be. */
export const lift =
  (step: number): BendRow =>
  (row) =>
    row.tokens[0]! % 3 === 0
      ? { ...sorted(row, (_, logit, place) => logit + (place === 1 ? step : 0)), logSumExp: row.logSumExp }
      : row;

/** Roundings of a device: each logit off by up to `size`, by chance of its token and of the best one. */
export const round =
  (size: number): BendRow =>
  (row) =>
    sorted(row, (token, logit) => logit + size * Math.sin(12.9898 * token + 78.233 * logit + row.tokens[0]!));

/** Changes the rows of a last stage as `bent` says. */
export const bendLogits =
  (bent: BendRow) =>
  (rows: Rows): Rows => {
    if (rows.kind !== 'logits' || rows.count === 0) return rows;
    const made = splitRows(rows.bytes, rows.count).map((row) =>
      encodeCandidateRow(bent(readCandidates(row, TOY_VOCABULARY, TOY_VOCABULARY))),
    );
    return { ...rows, bytes: new Uint8Array(made.flatMap((row) => [...row])) };
  };

function sorted(row: Candidates, change: (token: number, logit: number, place: number) => number): Candidates {
  const pairs = Array.from(row.tokens, (token, place): [number, number] => {
    return [token, Math.fround(change(token, row.logits[place]!, place))];
  });
  pairs.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const total = pairs.reduce((sum, [, logit]) => sum + Math.exp(logit), 0);
  return {
    logSumExp: Math.fround(Math.log(total)),
    tokens: Uint32Array.from(pairs, ([token]) => token),
    logits: Float32Array.from(pairs, ([, logit]) => logit),
  };
}

/** Equal logits must be in the order of ids, or the row cannot be read. */
function inOrder(tokens: Uint32Array, logits: Float32Array): Uint32Array {
  const places = [...tokens.keys()].sort((a, b) => logits[b]! - logits[a]! || tokens[a]! - tokens[b]!);
  return tokens.map((_, i) => tokens[places[i]!]!);
}
