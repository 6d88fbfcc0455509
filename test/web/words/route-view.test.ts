import { expect, test } from 'vitest';
import { stageColour, toRouteView, type RouteFacts } from '../../../web/words/route-view.ts';
import { finding, settledCheck, spanCheck } from '../../support/page-gallery/check-fixtures.ts';
import { BARE_ROUTE, ROUTE } from '../../support/page-gallery/fixtures.ts';

const FACTS = { route: ROUTE, links: [], stageTimes: [], wireMs: null, lapMs: null, checks: [], faults: [] };
const [FIRST, SECOND] = [ROUTE.stages[0]!, ROUTE.stages[1]!];

function shadowStates(facts: Pick<RouteFacts, 'checks' | 'faults'>): (readonly [string, number])[][] {
  return toRouteView({ ...FACTS, ...facts }).stages.map(({ shadows }) =>
    shadows.map(({ state, agreed }) => [state, agreed] as const),
  );
}

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

test('a shadow is waited for until its first verdict', () => {
  expect(shadowStates({ checks: [], faults: [] })).toEqual([[['waiting', 0]], [['waiting', 0]]]);
  expect(toRouteView(FACTS).stages[1]?.shadows).toEqual([
    { volunteer: SECOND.shadows[0]!.id, numericClass: 'wasm', state: 'waiting', agreed: 0 },
  ]);
});

test('a stage that nobody re-runs has no shadows', () => {
  expect(toRouteView({ ...FACTS, route: BARE_ROUTE }).stages.map(({ shadows }) => shadows)).toEqual([[], []]);
});

test('the parts in which a shadow agreed are counted', () => {
  const checks = [spanCheck(ROUTE, 0, 32), spanCheck(ROUTE, 32, 64)];
  expect(shadowStates({ checks, faults: [] })).toEqual([[['agrees', 2]], [['agrees', 2]]]);
});

test('a shadow differs by what it did last', () => {
  const rejected = finding(FIRST.shadows[0]!, FIRST.primary, 'hidden', { outcome: 'rejected' });
  const apart = spanCheck(ROUTE, 32, 64, [{ tier: 'disputed', findings: [rejected] }]);
  expect(shadowStates({ checks: [spanCheck(ROUTE, 0, 32), apart], faults: [] })[0]).toEqual([['differs', 1]]);
  const again = spanCheck(ROUTE, 64, 96);
  expect(shadowStates({ checks: [apart, again], faults: [] })[0]).toEqual([['agrees', 1]]);
});

test('a shadow that failed the check is dropped, and only that one', () => {
  const fault = {
    volunteer: SECOND.shadows[0]!.id,
    stage: 1,
    role: 'shadow',
    code: 'disagreement',
    start: 32,
    end: 64,
    isProven: true,
    range: SECOND.range,
  } as const;
  const checks = [spanCheck(ROUTE, 0, 32), settledCheck(32, 64)];
  expect(shadowStates({ checks, faults: [fault] })).toEqual([[['agrees', 2]], [['dropped', 1]]]);
});

test('stage colours repeat instead of running out', () => {
  expect(stageColour(6)).toBe(stageColour(0));
});
