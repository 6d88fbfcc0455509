import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { cutStage, type CutStage } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import { loadEngineGraph } from '../../../worker/engine/engine-graph.ts';
import { weightsInMemory } from '../../../worker/engine/weight-source.ts';
import type { GraphSession, GraphSizes, LoadedGraph, StageInput } from '../../../worker/loaded-graph.ts';
import { candidateRowBytes } from '../../../worker/top-candidates.ts';
import { repetitions } from '../../support/effort.ts';
import { engineModule } from '../../support/engine-stand.ts';
import { importWren } from '../../support/imported-wren.ts';
import { syntheticShapes } from '../../support/synthetic-models.ts';
import { syntheticStages, wholeOf } from '../../support/synthetic-stage.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

/** More than two batches of rows. */
const POSITIONS = 70;
const middle = { start: 1, end: 3, embedding: false, head: false };
const random = createRandom(29);

interface Stage {
  readonly cut: () => CutStage;
  readonly sizes: GraphSizes;
}

async function wren(range: { start: number; end: number; embedding: boolean; head: boolean }): Promise<Stage> {
  const { manifest, blob } = await importWren();
  return {
    sizes: manifest.config,
    cut: () => cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob }),
  };
}

function synthetic(shape: keyof typeof syntheticShapes, range: typeof middle | 'whole'): Stage {
  const { cut, sizes } = syntheticStages(syntheticShapes[shape]);
  return { sizes, cut: () => cut(range === 'whole' ? wholeOf(sizes.layers) : range) };
}

const stages: readonly (readonly [string, () => Stage | Promise<Stage>])[] = [
  ['packed queries, keys and values in 4 bits', () => synthetic('smolPackedQ4f16', 'whole')],
  ['normed heads, and rotary embedding of its own', () => synthetic('qwenQ4f16', 'whole')],
  ['8 bits with zero points and a tied table', () => synthetic('llamaQ8', 'whole')],
  ['floats, rows in and out', () => synthetic('smolFp32', middle)],
  ['layers of Wren', () => wren(middle)],
  ['the end of Wren', () => wren({ start: 7, end: 8, embedding: false, head: true })],
];

/** One sequence of inputs and what the stage makes of each position, computed one at a time. */
interface Sequence {
  readonly input: StageInput;
  readonly outputs: readonly Uint8Array[];
}

const session = fc.constantFrom(0 as const, 1 as const);
const commands = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('run' as const),
        session,
        count: fc.integer({ min: 1, max: 45 }),
        from: fc.nat(45),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('cut' as const), session, length: fc.nat(POSITIONS) }) },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constant('stray' as const), session, count: fc.integer({ min: 1, max: 33 }) }),
    },
  ),
  { minLength: 3, maxLength: 12 },
);

describe.each(stages)('a stage with %s', (_, describeStage) => {
  let loaded: LoadedGraph;
  let isHead: boolean;
  let rowBytes: number;
  let sequences: readonly [Sequence, Sequence];

  /** A run's output rows from place `from` on (all of them where there is no head). */
  async function run(
    on: GraphSession,
    { input }: Sequence,
    start: number,
    count: number,
    from: number,
  ): Promise<Uint8Array> {
    const length = input.length / POSITIONS;
    const rows = input.subarray(start * length, (start + count) * length);
    if (isHead) {
      const wanted = Array.from({ length: Math.max(0, count - from) }, (__, i) => from + i);
      return on.candidates(start, count, rows, wanted);
    }
    const made = await on.forward(start, count, rows, []);
    return new Uint8Array(made.buffer, made.byteOffset, made.byteLength);
  }

  async function oneByOne(input: StageInput): Promise<Sequence> {
    const on = await loaded.open(POSITIONS);
    const outputs: Uint8Array[] = [];
    for (let at = 0; at < POSITIONS; at++) outputs.push(await run(on, { input, outputs }, at, 1, 0));
    on.release();
    return { input, outputs };
  }

  beforeAll(async () => {
    const { cut, sizes } = await describeStage();
    const { hiddenSize, vocabularySize } = sizes;
    const own = cut();
    isHead = own.io.logitsIndex !== null;
    rowBytes = isHead ? candidateRowBytes(vocabularySize) : 4 * hiddenSize;
    const plan = planStage({ ...own, hiddenSize, vocabularySize });
    loaded = await loadEngineGraph({
      module: await engineModule(),
      plan,
      weights: weightsInMemory(own.read),
      vocabularySize,
    });
    const make = (): StageInput =>
      own.io.tokens === null
        ? randomValues(random, POSITIONS * hiddenSize, 1)
        : Uint32Array.from({ length: POSITIONS }, () => vocabularySize * random());
    sequences = [await oneByOne(make()), await oneByOne(make())];
  });

  test('gives each position the bytes it gives one at a time, however runs are cut, taken back or mixed', async () => {
    await fc.assert(
      fc.asyncProperty(commands, fc.tuple(fc.nat(50), fc.nat(50)), async (list, more) => {
        const lengths: [number, number] = [0, 0];
        // Rooms of different sizes: where a session's keys lie must not matter.
        const open = [await loaded.open(POSITIONS + more[0]), await loaded.open(POSITIONS + more[1])] as const;
        for (const command of list) {
          const { session: id } = command;
          const start = lengths[id];
          if (command.type === 'cut') {
            lengths[id] = Math.min(start, command.length);
            open[id].cut(lengths[id]);
            continue;
          }
          const count = Math.min(command.count, POSITIONS - start);
          if (count === 0) continue;
          if (command.type === 'stray') {
            await run(open[id], sequences[1 - id]!, start, count, 0);
            open[id].cut(start);
            continue;
          }
          const from = isHead ? Math.min(command.from, count) : 0;
          const made = await run(open[id], sequences[id], start, count, from);
          const expected = sequences[id].outputs.slice(start + from, start + count);
          expect(made).toHaveLength(rowBytes * expected.length);
          const same = expected.every(
            (row, i) => Buffer.compare(row, made.subarray(i * rowBytes, (i + 1) * rowBytes)) === 0,
          );
          expect(same, `${count} positions from ${start} on`).toBe(true);
          lengths[id] = start + count;
        }
        for (const each of open) each.release();
      }),
      { numRuns: repetitions(15, 200) },
    );
  });
});
