import type { StageRange } from '#shared/model/stage.ts';
import { runInDoubles } from './double-plan.ts';
import { loadPlanned, type PlannedModel, type RunStage } from './planned-model.ts';

/** A model in parts that end after each of `marks` layers, and the head. */
export interface SplitModel {
  readonly parts: readonly RunStage[];
  readonly head: RunStage;
}

/** The ranges of the parts, the head's last. */
export function splitRanges(marks: readonly number[]): StageRange[] {
  const layers = marks.at(-1)!;
  return [
    ...marks.map((end, i) => ({ start: i === 0 ? 0 : marks[i - 1]!, end, embedding: i === 0, head: false })),
    { start: layers, end: layers, embedding: false, head: true },
  ];
}

/** Loads all parts into the engine. */
export async function loadSplit(model: PlannedModel, marks: readonly number[]): Promise<SplitModel> {
  const loaded: RunStage[] = [];
  for (const range of splitRanges(marks)) loaded.push(await loadPlanned(model.plan(range), model));
  return { parts: loaded.slice(0, -1), head: loaded.at(-1)! };
}

/** The same parts in double precision, with rows rounded to `bits` where they go into a product. */
export function splitInDoubles(model: PlannedModel, marks: readonly number[], bits: number): SplitModel {
  const stages = splitRanges(marks).map((range) => model.plan(range));
  const loaded = stages.map((stage): RunStage => async (input, count) => {
    return Float32Array.from(runInDoubles(stage, input, count, bits));
  });
  return { parts: loaded.slice(0, -1), head: loaded.at(-1)! };
}

/** Rows after each mark, and logits. */
export async function runSplit(
  { parts, head }: SplitModel,
  tokens: Uint32Array,
): Promise<{ hidden: Float32Array[]; logits: Float32Array }> {
  const hidden: Float32Array[] = [];
  for (const part of parts) hidden.push(await part(hidden.at(-1) ?? tokens, tokens.length));
  return { hidden, logits: await head(hidden.at(-1)!, tokens.length) };
}
