import { closenessOf } from '#shared/judge/closeness.ts';
import { sketchRows } from '#shared/judge/sketch.ts';
import { NO_OPENING } from '#shared/judge/statement-codec.ts';
import type { Reveal } from '#shared/judge/statement.ts';
import { quantile } from '#shared/judge/statistics.ts';
import type { SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { measureChannelScale } from '../../../signal-server/import/probe/channel-scale.ts';
import { encodeCandidates } from '../../../worker/top-candidates.ts';
import { spanSeed } from '../../support/traces/span-comparison.ts';
import { short } from '../calibrate/tables.ts';
import { compareDraws } from '../calibrate/token-draws.ts';
import type { PlannedModel } from './planned-model.ts';
import type { SplitModel } from './split-model.ts';

/** The same model in floats and in the engine's own arithmetic, and cheaper ones in its place. */
export interface Contestants {
  readonly floats: SplitModel;
  readonly engine: SplitModel;
  readonly cheaper: Readonly<Record<string, SplitModel>>;
}

/**
 * The lines of a table: for each stage, which gets the same rows in half precision, how far the engine's own arithmetic is
 * from floats as the judge measures it, and how far what is cheaper. `stages` says how many parts each is made of.
 */
export async function stageRows(
  { hiddenSize, vocabularySize }: PlannedModel,
  { floats, engine, cheaper }: Contestants,
  stages: readonly { readonly name: string; readonly parts: number }[],
  sequences: readonly Uint32Array[],
): Promise<string[][]> {
  const boundaries: Float32Array[] = [];
  const inputs: (Uint32Array | Float32Array)[][] = [[...sequences]];
  let first = 0;
  for (const { parts } of stages.slice(0, -1)) {
    const outputs: Float32Array[] = [];
    for (const [i, tokens] of sequences.entries())
      outputs.push(halves(await through(floats, first, parts, inputs.at(-1)![i]!, tokens.length)));
    boundaries.push(...outputs);
    inputs.push(outputs);
    first += parts;
  }
  const scale = measureChannelScale(boundaries, hiddenSize);
  const lines: string[][] = [];
  first = 0;
  for (const [stage, { name, parts }] of stages.entries()) {
    const isHead = stage === stages.length - 1;
    const honest: number[] = [];
    const lies = Object.keys(cheaper).map((): number[] => []);
    const draws = { tokens: 0, greedy: 0, plain: 0, gap: 0 };
    for (const [i, tokens] of sequences.entries()) {
      const input = inputs[stage]![i]!;
      const made: Float32Array[] = [];
      for (const model of [floats, engine, ...Object.values(cheaper)]) {
        const rows = await through(model, first, parts, input, tokens.length);
        made.push(isHead ? await model.head(rows, tokens.length) : halves(rows));
      }
      for (let start = 0; start + CHUNK_POSITIONS <= tokens.length; start += CHUNK_POSITIONS) {
        const reveal = (rows: Float32Array): Reveal =>
          revealOf(stage === 0 ? null : (input as Float32Array), rows, {
            start,
            isHead,
            hiddenSize,
            vocabularySize,
            scale,
          });
        const kind = isHead ? { kind: 'logits' as const, vocabularySize, sampled: null } : { kind: 'hidden' as const };
        const [theirs, mine, ...liars] = made.map(reveal) as [Reveal, Reveal, ...Reveal[]];
        honest.push(closenessOf(mine, theirs, kind).median);
        liars.forEach((liar, which) => lies[which]!.push(closenessOf(liar, theirs, kind).median));
        if (!isHead) continue;
        const { greedy, plain } = compareDraws(mine, theirs, vocabularySize).drawn;
        draws.tokens += CHUNK_POSITIONS;
        draws.greedy += greedy.others;
        draws.plain += plain.others;
        draws.gap = Math.max(draws.gap, greedy.largestGap);
      }
    }
    const largest = quantile(honest, 1);
    lines.push([
      ...[name, String(honest.length), `${short(quantile(honest, 0.5))} / ${short(largest)}`],
      ...lies.map((medians) => `${short(quantile(medians, 0))}, ${Math.round(quantile(medians, 0) / (2 * largest))}`),
      isHead ? `${draws.greedy} / ${draws.plain} of ${draws.tokens}` : '–',
    ]);
    first += parts;
  }
  return lines;
}

async function through(
  model: SplitModel,
  first: number,
  parts: number,
  input: Uint32Array | Float32Array,
  count: number,
): Promise<Float32Array> {
  let rows = input;
  for (const part of model.parts.slice(first, first + parts)) rows = await part(rows, count);
  return rows as Float32Array;
}

function halves(rows: Float32Array): Float32Array<ArrayBuffer> {
  return decodeF16(encodeF16(rows));
}

function revealOf(
  input: Float32Array | null,
  rows: Float32Array,
  of: { start: number; isHead: boolean; hiddenSize: number; vocabularySize: number; scale: Float32Array },
): Reveal {
  const { start, isHead, hiddenSize, vocabularySize, scale } = of;
  const end = start + CHUNK_POSITIONS;
  const seed = spanSeed(`accuracy:${start}`);
  const sketch = (values: Float32Array) =>
    sketchRows(values.subarray(start * hiddenSize, end * hiddenSize), hiddenSize, scale, seed);
  return {
    ...{ session: '00'.repeat(16) as SessionId, opening: NO_OPENING, epoch: 0, index: 1, stage: 0, start, end, seed },
    input: input === null ? new Uint8Array() : sketch(input),
    output: isHead
      ? encodeCandidates(rows.slice(start * vocabularySize, end * vocabularySize), vocabularySize)
      : sketch(rows),
  };
}
