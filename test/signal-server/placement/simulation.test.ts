import { expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { planModel, type PlannedModel } from '../../../signal-server/placement/planned-model.ts';
import { simulateModels, simulatePlacement, type DeviceKind } from '../../support/placement-simulation.ts';
import { shapeManifest, type ShapeName } from '../../support/shape-manifest.ts';

const planned = (name: ShapeName, table?: 'f32' | 'q8', digit = 'a'): PlannedModel =>
  planModel(digit.repeat(64) as Digest, shapeManifest(name, table), 1, true);
const many = (kind: DeviceKind, count: number): DeviceKind[] => new Array<DeviceKind>(count).fill(kind);

it('four tabs as they come by themselves answer with SmolLM2, checked, and nobody is moved', async () => {
  const result = await simulatePlacement({ model: planned('smollm2'), devices: many('tab', 4), forS: 120 });
  expect(result).toMatchObject({ moves: 0, opened: 0, idle: 0 });
  expect(result.checkedS).toBeLessThan(90);
});

it('a model whose table no tab can hold gets none of them, until somebody comes who can', async () => {
  const model = planned('qwen3');
  expect(await simulatePlacement({ model, devices: many('tab', 6), forS: 60 })).toMatchObject({
    ...{ servableS: null, idle: 6, moves: 0 },
  });
  const mixed = await simulatePlacement({
    ...{ model, forS: 300 },
    devices: [...many('tab', 6), ...many('node', 8)],
  });
  expect(mixed.idle).toBe(0);
  expect(mixed.servableS).not.toBeNull();
});

it('volunteers of three sizes never open a gap that was closed', async () => {
  const devices = Array.from({ length: 16 }, (_, i) => (['small', 'tab', 'node'] as const)[i % 3]!);
  const result = await simulatePlacement({ model: planned('llama1b', 'q8'), devices, forS: 200 });
  expect(result.opened).toBe(0);
  expect(result.moves).toBeLessThanOrEqual(4);
  expect(result.checkedS).not.toBeNull();
});

it('of two models that four tabs cannot check together, the one that is asked for is checked within a minute, and stays', async () => {
  const models = [planned('smollm2'), planned('smollm2', 'f32', 'b')];
  const { runs, moves } = await simulateModels({
    ...{ models, devices: many('tab', 4), forS: 600 },
    asks: [{ atS: 100, model: 1 }],
  });
  expect(runs[1]!.asked[0]!.checkedS).toBeLessThan(60);
  expect(runs[1]).toMatchObject({ activity: 'loaded', opened: 0 });
  expect(runs[0]!.activity).toBe('asleep');
  // The two that held the other model, and nobody back.
  expect(moves).toBe(2);
});

it('a model that nobody asks for any more gives its room back to the one that is asked for', async () => {
  const models = [planned('smollm2'), planned('smollm2', 'f32', 'b')];
  const { runs } = await simulateModels({
    ...{ models, devices: many('tab', 4), forS: 1000 },
    asks: [
      { atS: 100, model: 1 },
      { atS: 800, model: 0 },
    ],
  });
  expect(runs[0]!.asked[0]!.checkedS).toBeLessThan(60);
  expect(runs.map(({ activity }) => activity)).toEqual(['loaded', 'asleep']);
});

it('twelve tabs hold three models, and check the largest within a minute once it is asked for', async () => {
  const models = [planned('wren'), planned('smollm2', 'f32', 'b'), planned('qwen3', 'q8', 'c')];
  const { runs } = await simulateModels({
    ...{ models, devices: many('tab', 12), forS: 240 },
    asks: [{ atS: 120, model: 2 }],
  });
  for (const { servableS } of runs) expect(servableS).toBeLessThan(120);
  expect(runs[2]!.asked[0]!.checkedS).toBeLessThan(60);
  expect(runs[2]!.opened).toBe(0);
});
