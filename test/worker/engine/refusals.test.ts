import { describe, expect, test } from 'vitest';
import { RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import type { CutStage } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import { NotPlanned } from '#shared/model/engine/plan.ts';
import { intOf } from '#shared/model/node-attributes.ts';
import { openWasm } from '../../../worker/backend.ts';
import { loadCutStage } from '../../../worker/load-stage.ts';
import { Runtimes } from '../../../worker/runtimes.ts';
import {
  attention,
  interpose,
  middle,
  nodeOf,
  set,
  splitQkv,
  strangeChanges,
  type ShapeName,
} from '../../support/strange-graphs.ts';
import { syntheticShapes } from '../../support/synthetic-models.ts';
import { syntheticStages, wholeOf } from '../../support/synthetic-stage.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

function plan(cut: CutStage, shape: ShapeName): void {
  const { hidden: hiddenSize, vocabulary: vocabularySize } = syntheticShapes[shape];
  planStage({ ...cut, hiddenSize, vocabularySize });
}

describe('a graph is not planned, and the node is named, where it has', () => {
  test.each(strangeChanges)('%s', (_, shape, named, change) => {
    const needsWhole = /embed|lm_head/.test(named);
    const cut = syntheticStages(syntheticShapes[shape]).cut(needsWhole ? wholeOf(4) : middle);
    plan(cut, shape);
    change(cut);
    let thrown: unknown = null;
    try {
      plan(cut, shape);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(NotPlanned);
    expect((thrown as Error).message).toContain(named);
  });
});

test('packed rows that are split into the parts they have are planned', () => {
  const cut = syntheticStages(syntheticShapes.smolPackedQ4f16).cut(middle);
  splitQkv(cut, [96, 32, 32]);
  plan(cut, 'smolPackedQ4f16');
});

test.each([
  ['attention to a window', (cut: CutStage) => set(nodeOf(cut, attention), intOf('local_window_size', 4))],
  ['an operator of its own', (cut: CutStage) => interpose(cut, nodeOf(cut, 'act_fn/Sigmoid'), 0, 'Neg')],
])('a stage with %s runs in the runtime, and its class says so', async (_, change) => {
  const { cut, sizes } = syntheticStages(syntheticShapes.smolFp32);
  const changed = cut(middle);
  change(changed);
  // Interposed nodes stand at the end, where the runtime wants makers before readers.
  const { graph } = changed.model;
  const stranger = graph.node.findIndex(({ name }) => name.startsWith('stranger'));
  const reader = graph.node.findIndex(({ input }) => input.some((name) => name.startsWith('stranger')));
  if (reader !== -1) graph.node.splice(reader, 0, ...graph.node.splice(stranger, 1));
  const { loaded, numericClass } = await loadCutStage(openWasm(new Runtimes(), 'a test'), changed, sizes);
  expect(numericClass).toBe(RUNTIME_CLASS);
  const session = await loaded.open(8);
  const rows = await session.forward(0, 3, randomValues(createRandom(31), 3 * sizes.hiddenSize, 1), []);
  expect(rows).toHaveLength(3 * sizes.hiddenSize);
  expect(rows.every(Number.isFinite)).toBe(true);
  await loaded.release();
});
