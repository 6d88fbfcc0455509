import type { Anatomy } from '../anatomy.ts';
import { cutStageGraph } from '../stage-graph.ts';
import { planStage } from './plan-stage.ts';
import { NotPlanned } from './plan.ts';

/** What the engine does not know of a whole model's graph, in words; null where it knows all of it. */
export function whyNotPlanned(anatomy: Anatomy, vocabularySize: number): string | null {
  const { hiddenSize, layers } = anatomy;
  const { model, io } = cutStageGraph(anatomy, { start: 0, end: layers.length, embedding: true, head: true });
  try {
    planStage({ model, io, hiddenSize, vocabularySize });
    return null;
  } catch (thrown) {
    if (thrown instanceof NotPlanned) return thrown.message;
    throw thrown;
  }
}
