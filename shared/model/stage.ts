import { z } from 'zod';
import { MAX_LAYERS } from '../limits.ts';

/**
 * The work of one volunteer: layers [start, end), with the embedding table before them and the head (final norm and
 * output projection) after them where these belong to the stage. A stage may hold just the embedding (start = end = 0)
 * or just the head (start = end = number of layers).
 */
export interface StageRange {
  readonly start: number;
  readonly end: number;
  readonly embedding: boolean;
  readonly head: boolean;
}

const layerIndex = z.int().min(0).max(MAX_LAYERS);

export const stageRangeSchema = z
  .strictObject({ start: layerIndex, end: layerIndex, embedding: z.boolean(), head: z.boolean() })
  .refine((range) => range.start <= range.end && (range.start < range.end || range.embedding || range.head), {
    message: 'an empty stage: it must hold a layer, the embedding or the head',
  })
  .refine((range) => !range.embedding || range.start === 0, {
    message: 'an embedding after layer 0: only a stage that starts there has it',
  });

/** True if the range can be a stage of a model of `layers` layers. */
export function fitsModel(range: StageRange, layers: number): boolean {
  return range.end <= layers && (!range.head || range.end === layers);
}

export function sameRange(a: StageRange, b: StageRange): boolean {
  return a.start === b.start && a.end === b.end && a.embedding === b.embedding && a.head === b.head;
}

/** True if `ranges`, in order, make up a whole model: embedding first, head last, no layer twice or missing. */
export function coversModel(ranges: readonly StageRange[], layers: number): boolean {
  const [first, last] = [ranges[0], ranges.at(-1)];
  if (!first?.embedding || !last?.head || first.start !== 0 || last.end !== layers) return false;
  return ranges.every((range, i) => {
    const next = ranges[i + 1];
    return next === undefined || (range.end === next.start && !range.head && !next.embedding);
  });
}

/** Text such as `embedding + layers 0–4`, for people. */
export function describeRange(range: StageRange): string {
  const layers = range.start === range.end ? '' : `layers ${range.start}–${range.end - 1}`;
  return [range.embedding && 'embedding', layers, range.head && 'head'].filter(Boolean).join(' + ');
}
