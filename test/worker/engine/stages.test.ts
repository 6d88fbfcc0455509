import { beforeAll, describe, expect, test } from 'vitest';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { type CutStage, cutStage } from '#shared/model/cut.ts';
import { describeRange, type StageRange } from '#shared/model/stage.ts';
import { openWasm } from '../../../worker/backend.ts';
import { loadCutStage } from '../../../worker/load-stage.ts';
import type { LoadedGraph } from '../../../worker/loaded-graph.ts';
import { Runtimes } from '../../../worker/runtimes.ts';
import { relativeError } from '../../support/engine-stand.ts';
import { importWren } from '../../support/imported-wren.ts';
import { syntheticShapes, type SyntheticShape } from '../../support/synthetic-models.ts';
import { syntheticStages, wholeOf, type SyntheticStages } from '../../support/synthetic-stage.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

/** What activations of 16 bits leave beside the float32 of the runtime. */
const TOLERANCE = 2e-4;
const runtimes = new Runtimes();
const engine = openWasm(runtimes, 'a test');
const runtime = openWasm(runtimes, 'a test', { withEngine: false });
const random = createRandom(23);

/** A stage in the engine and in the runtime. */
async function loadBoth(
  { sizes }: Pick<SyntheticStages, 'sizes'>,
  cut: () => CutStage,
): Promise<readonly [LoadedGraph, LoadedGraph]> {
  const own = await loadCutStage(engine, cut(), sizes);
  const other = await loadCutStage(runtime, cut(), sizes);
  expect([own.numericClass, other.numericClass]).toEqual([ENGINE_CLASS, RUNTIME_CLASS]);
  return [own.loaded, other.loaded];
}

/** Runs of 40 positions, of one and of five more: rows of the engine must be those of the runtime, or near. */
async function expectNear(
  both: readonly [LoadedGraph, LoadedGraph],
  { hiddenSize, vocabularySize }: SyntheticStages['sizes'],
  range: StageRange,
): Promise<void> {
  const runs = [40, 1, 5];
  const total = 46;
  const input = range.embedding
    ? Uint32Array.from({ length: total }, () => vocabularySize * random())
    : randomValues(random, total * hiddenSize, 1);
  const outputs: Float32Array[][] = [];
  for (const loaded of both) {
    const session = await loaded.open(total);
    const made: Float32Array[] = [];
    const rowLength = input.length / total;
    for (let i = 0, start = 0; i < runs.length; start += runs[i]!, i++) {
      const rows = input.subarray(start * rowLength, (start + runs[i]!) * rowLength);
      const wanted = range.head ? Array.from({ length: runs[i]! }, (_, at) => at) : [];
      made.push((await session.forward(start, runs[i]!, rows, wanted)).slice());
    }
    session.release();
    outputs.push(made);
  }
  for (const [i, made] of outputs[0]!.entries()) {
    expect(made).toHaveLength(outputs[1]![i]!.length);
    expect(relativeError(made, outputs[1]![i]!), `run ${i}`).toBeLessThan(TOLERANCE);
  }
  for (const loaded of both) await loaded.release();
}

describe.each(Object.entries<SyntheticShape>(syntheticShapes))('a model of the shape %s', (_, shape) => {
  const ranges: readonly StageRange[] = [
    wholeOf(shape.layers),
    { start: 0, end: 0, embedding: true, head: false },
    { start: 1, end: 2, embedding: false, head: false },
    { start: shape.layers, end: shape.layers, embedding: false, head: true },
  ];
  let stages: SyntheticStages;
  beforeAll(() => {
    stages = syntheticStages(shape);
  });

  test.each(ranges.map((range) => [describeRange(range), range] as const))(
    'runs in the engine with %s, near the rows of the runtime',
    async (__, range) => {
      await expectNear(await loadBoth(stages, () => stages.cut(range)), stages.sizes, range);
    },
  );
});

test.each(['q4', 'q8', 'fp32'] as const)(
  'Wren in %s runs in the engine near the rows of the runtime',
  async (quant) => {
    const { manifest, blob } = await importWren(quant);
    const { config } = manifest;
    for (const range of [wholeOf(8), { start: 2, end: 4, embedding: false, head: false }]) {
      const cut = () => cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
      await expectNear(await loadBoth({ sizes: config }, cut), config, range);
    }
  },
);
