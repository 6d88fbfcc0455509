import { expect, it } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { planModel, type PlannedModel } from '../../../signal-server/placement/planned-model.ts';
import { simulatePlacement, type DeviceKind } from '../../support/placement-simulation.ts';
import { shapeManifest, type ShapeName } from '../../support/shape-manifest.ts';

const planned = (name: ShapeName, table?: 'f32' | 'q8'): PlannedModel =>
  planModel('a'.repeat(64) as Digest, shapeManifest(name, table), 1, true);
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
