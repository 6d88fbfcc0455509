import { beforeAll, describe, expect, test } from 'vitest';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import type { Plan } from '#shared/model/engine/plan.ts';
import { loadEngineGraph } from '../../../worker/engine/engine-graph.ts';
import { weightsInMemory } from '../../../worker/engine/weight-source.ts';
import { EngineMemory } from '../../../worker/engine/engine-memory.ts';
import { createLayerStore } from '../../../worker/engine/layer-store.ts';
import type { LoadedGraph } from '../../../worker/loaded-graph.ts';
import { codeOf, codeOfAsync } from '../../support/code-of.ts';
import { engineModule } from '../../support/engine-stand.ts';
import { syntheticShapes } from '../../support/synthetic-models.ts';
import { syntheticStages, wholeOf } from '../../support/synthetic-stage.ts';

const GIB = 2 ** 30;

async function openMemory(): Promise<EngineMemory> {
  return EngineMemory.open(await engineModule());
}

describe("the engine's memory", () => {
  test('says that there is no more of it, and goes on with what it has', async () => {
    const memory = await openMemory();
    const before = memory.allocate(64);
    memory.bytes(before, 64).fill(7);
    const used = memory.usedBytes;
    expect(codeOf(() => memory.allocate(5 * GIB))).toBe('out-of-memory');
    expect(codeOf(() => memory.allocate(4 * GIB))).toBe('out-of-memory');
    expect(memory.usedBytes).toBe(used);
    const after = memory.allocate(64);
    expect(after).toBeGreaterThanOrEqual(before + 64);
    expect(memory.bytes(before, 64).every((byte) => byte === 7)).toBe(true);
  });

  test('gives out runs that do not overlap, and again what was given back', async () => {
    const memory = await openMemory();
    const start = memory.usedBytes;
    const runs = [100, 1, 0, 4096, 33].map((bytes) => ({ at: memory.allocate(bytes), bytes }));
    for (const [i, { at, bytes }] of runs.entries()) {
      expect(at % 16).toBe(0);
      for (const other of runs.slice(i + 1)) expect(at + bytes <= other.at || other.at + other.bytes <= at).toBe(true);
    }
    const [first, second, third, fourth, fifth] = runs as [Run, Run, Run, Run, Run];
    memory.free(second.at, second.bytes);
    memory.free(fourth.at, fourth.bytes);
    memory.free(third.at, third.bytes);
    expect(memory.allocate(4000)).toBe(second.at);
    memory.free(second.at, 4000);
    for (const { at, bytes } of [first, fifth]) memory.free(at, bytes);
    expect(memory.usedBytes).toBe(start);
    expect(memory.allocate(10_000)).toBe(first.at);
  });
});

interface Run {
  readonly at: number;
  readonly bytes: number;
}

test('a session for which there is no room leaves the room of those that are open', async () => {
  const memory = await openMemory();
  const plan: Plan = { steps: [], input: null, output: null!, layers: 0, kvHeads: 1, headSize: 4 };
  const store = createLayerStore(memory, plan);
  store.open(64);
  const scores = store.scoresAt();
  // Nearly all that a module can have; pages that nobody touches cost nothing.
  memory.allocate(4 * GIB - 8 * 2 ** 20);
  expect(codeOf(() => store.open(4 * 2 ** 20))).toBe('out-of-memory');
  expect(store.scoresAt()).toBe(scores);
  const next = memory.allocate(16);
  expect(next >= scores + 4 * 64 || next + 16 <= scores).toBe(true);
});

describe('a loaded stage', () => {
  const { sizes, cut } = syntheticStages(syntheticShapes.llamaQ4);
  let loaded: LoadedGraph;
  beforeAll(async () => {
    const own = cut(wholeOf(sizes.layers));
    const plan = planStage({ ...own, ...sizes });
    const { vocabularySize } = sizes;
    loaded = await loadEngineGraph({
      module: await engineModule(),
      plan,
      weights: weightsInMemory(own.read),
      vocabularySize,
    });
  });

  test('opens no session beyond the angles of its model', async () => {
    const { positions } = syntheticShapes.llamaQ4;
    (await loaded.open(positions)).release();
    expect(await codeOfAsync(loaded.open(positions + 1))).toBe('too-long');
  });

  test('runs no positions beyond the room of their session, and no tokens beyond its vocabulary', async () => {
    const session = await loaded.open(8);
    const tokens = (count: number, token = 3) => new Uint32Array(count).fill(token);
    const run = (start: number, input: Uint32Array) => codeOfAsync(session.candidates(start, input.length, input, [0]));
    expect(await run(0, tokens(8))).toBe('no error');
    expect(await run(0, tokens(9))).toBe('too-long');
    expect(await run(8, tokens(1))).toBe('too-long');
    expect(await run(0, tokens(1, sizes.vocabularySize - 1))).toBe('no error');
    expect(await run(0, tokens(1, sizes.vocabularySize))).toBe('bad-message');
    expect(await run(0, tokens(1, 2 ** 32 - 1))).toBe('bad-message');
    session.release();
  });

  test('gives a session back: as many open and close as like', async () => {
    const bytes = async () => {
      const session = await loaded.open(100);
      await session.candidates(0, 1, Uint32Array.of(5), [0]);
      session.release();
      return loaded.kvBytes(100);
    };
    const { layers, kvHeads, headSize } = sizes;
    for (let i = 0; i < 200; i++) expect(await bytes()).toBe(2 * layers * kvHeads * headSize * 100 * 4);
  });
});
