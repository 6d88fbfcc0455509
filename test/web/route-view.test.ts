import { expect, test } from 'vitest';
import { describeNumericClass, stageColour, toRouteView } from '../../web/route-view.ts';
import { ROUTE } from '../support/page-gallery/fixtures.ts';

const FACTS = { route: ROUTE, links: [], stageTimes: [], wireMs: null, lapMs: null };

test('a leg to a peer without WebRTC is known to be relayed before any link reports it', () => {
  const { stages, home } = toRouteView(FACTS);
  expect(stages[1]?.arrival).toEqual({ transport: 'relay', isReported: true, roundTripMs: null });
  expect(home.transport).toBe('relay');
});

test('a leg between peers with WebRTC is only a plan until a link reports it', () => {
  expect(toRouteView(FACTS).stages[0]?.arrival).toEqual({ transport: 'webrtc', isReported: false, roundTripMs: null });
  const links = [{ stage: 0, transport: 'relay', roundTripMs: 7 } as const];
  expect(toRouteView({ ...FACTS, links }).stages[0]?.arrival).toEqual({
    transport: 'relay',
    isReported: true,
    roundTripMs: 7,
  });
});

test('a leg between volunteers is what the stage before it says of its own link', () => {
  const stageTimes = [
    { onward: 'webrtc', queueMs: 0, runMs: 4 } as const,
    { onward: 'relay', queueMs: 0, runMs: 7 } as const,
  ];
  const { stages, home } = toRouteView({ ...FACTS, stageTimes });
  expect(stages[1]?.arrival).toEqual({ transport: 'webrtc', isReported: true, roundTripMs: null });
  expect(home).toEqual({ transport: 'relay', isReported: true, roundTripMs: null });
});

test('times are absent before the first lap and each stage’s own after it', () => {
  expect(toRouteView(FACTS).stages.map((stage) => stage.runMs)).toEqual([null, null]);
  const stageTimes = [
    { onward: null, queueMs: 0.1, runMs: 4 },
    { onward: null, queueMs: 1, runMs: 7 },
  ];
  expect(toRouteView({ ...FACTS, stageTimes }).stages.map((stage) => [stage.queueMs, stage.runMs])).toEqual([
    [0.1, 4],
    [1, 7],
  ]);
});

test('numeric classes are written with the device where it is known', () => {
  expect(['wasm', 'webgpu', 'webgpu/nvidia/ampere'].map(describeNumericClass)).toEqual([
    'WASM',
    'WebGPU',
    'WebGPU · nvidia/ampere',
  ]);
});

test('stage colours repeat instead of running out', () => {
  expect(stageColour(6)).toBe(stageColour(0));
});
