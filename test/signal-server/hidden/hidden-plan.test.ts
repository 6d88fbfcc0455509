import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { planHidden, type HiddenWish } from '../../../signal-server/hidden/hidden-plan.ts';
import { systemRandom } from '../../../signal-server/machine/system-clock.ts';
import type { Candidate, Demand } from '../../../signal-server/routing/candidate.ts';
import { Draw } from '../../../signal-server/routing/draw.ts';
import { predictedMs } from '../../../signal-server/routing/pace.ts';

/** Units of a model of 8 layers: 0 to 9. */
const LAYERS = 8;
const id = (name: string): PeerId => name as PeerId;

function candidate(name: string, start: number, end: number, overrides: Partial<Candidate> = {}): Candidate {
  return {
    ...{ id: id(name), span: { start, end }, prefix: `prefix of ${name}`, webrtc: false, numericClass: ENGINE_CLASS },
    ...{ layerMs: 1, running: 0, freeSlots: 2, isReady: true, isTried: true, isHidden: false, failedLately: false },
    ...{ isNew: false, isSteady: false, isMeasured: true },
    ...overrides,
  };
}
const anchor = (name: string, start: number, end: number, overrides: Partial<Candidate> = {}): Candidate =>
  candidate(`anchor ${name}`, start, end, overrides);
const untried = { isTried: false, isNew: true, isMeasured: false, layerMs: 3 };

const demand: Demand = { requester: id('asker'), webrtc: false, minStages: 2, shadows: 1, exclude: new Set() };
const anchors = [anchor('1', 0, 5), anchor('2', 0, 5), anchor('3', 5, 10), anchor('4', 5, 10)];
const others = [candidate('other 1', 0, 5), candidate('other 2', 5, 10)];

function plan(candidates: Candidate[], wish: Partial<HiddenWish> = {}) {
  const whole: HiddenWish = { target: id('target'), role: 'primary', isAmongAnchors: true, ...wish };
  const isAnchor = (one: PeerId): boolean => one.startsWith('anchor');
  const isStandIn = (one: PeerId): boolean => one.startsWith('anchor stand-in');
  return planHidden(LAYERS, demand, candidates, whole, new Draw(systemRandom), { isAnchor, isStandIn });
}

function stagesOf(planned: ReturnType<typeof plan>) {
  if (planned.type !== 'route') throw new Error(`no route: ${JSON.stringify(planned)}`);
  return planned.stages.map(({ primary, shadows }) => [primary.id, ...shadows.map((shadow) => shadow.id)]);
}

describe('the route of a hidden session', () => {
  it.each([0, 1, 2, 3])('has one that was never tried as primary, and anchors everywhere else (%i)', () => {
    const stages = stagesOf(plan([...anchors, ...others, candidate('target', 5, 10, untried)]));
    expect(stages[1]![0]).toBe('target');
    const rest = stages.flat().filter((name) => name !== 'target');
    expect(rest.every((name) => name.startsWith('anchor'))).toBe(true);
    expect(stages[1]!.length).toBeGreaterThanOrEqual(2);
  });

  it('has it as a shadow of an anchor, where it is to be one', () => {
    const stages = stagesOf(plan([...anchors, candidate('target', 0, 5)], { role: 'shadow' }));
    expect(stages[0]![0]).toMatch(/^anchor/);
    expect(stages[0]!.slice(1)).toContain('target');
  });

  it('has whom the scheduler draws in the other stages, later on', () => {
    const candidates = [...anchors, candidate('target', 0, 5), candidate('other 2', 5, 10)];
    const seen = new Set<string>();
    for (let i = 0; i < 64; i++) {
      for (const name of stagesOf(plan(candidates, { isAmongAnchors: false }))[1]!) seen.add(name);
    }
    expect(seen).toContain('other 2');
    for (const candidates of [[...anchors, ...others, candidate('target', 0, 5)]]) {
      const beside = stagesOf(plan(candidates, { isAmongAnchors: false }))[0]!;
      expect(beside.filter((name) => name !== 'target').every((name) => name.startsWith('anchor'))).toBe(true);
    }
  });

  it('has a stand-in beside the target alone once others can hold the rest, and elsewhere where nobody can', () => {
    const standIns = [anchor('stand-in 1', 0, 5), anchor('stand-in 2', 5, 10)];
    const target = candidate('target', 5, 10);
    for (let i = 0; i < 16; i++) {
      const stages = stagesOf(plan([...standIns, ...others, target], { isAmongAnchors: false }));
      expect(stages[0]).toEqual(['other 1']);
      expect(stages[1]).toEqual(['target', 'anchor stand-in 2']);
    }
    expect(stagesOf(plan([...standIns, target], { isAmongAnchors: false }))[0]).toEqual(['anchor stand-in 1']);
  });

  it('predicts of the primary that it names, as every route does', () => {
    const target = candidate('target', 5, 10, untried);
    const planned = plan([...anchors, target]);
    if (planned.type !== 'route') throw new Error(planned.type);
    expect(planned.stages[1]!.predictedMs).toBe(predictedMs(target));
    const one = [anchor('1', 0, 5), anchor('3', 5, 10, { layerMs: 2 }), target];
    const shadowed = plan(one, { role: 'shadow' });
    if (shadowed.type !== 'route') throw new Error(shadowed.type);
    expect(shadowed.stages[1]!.predictedMs).toBe(predictedMs(one[1]!));
  });

  it('works on one machine, where every network is the same', () => {
    const here = [...anchors, candidate('target', 5, 10, untried)].map((one) => ({ ...one, prefix: 'loopback' }));
    expect(stagesOf(plan(here))[1]![0]).toBe('target');
  });

  const target = candidate('target', 5, 10, untried);
  const missing: [string, Candidate[]][] = [
    ['the target is not there', anchors],
    ['the target has no slot left', [...anchors, { ...target, freeSlots: 0 }]],
    ['no anchor holds its very stage', [anchors[0]!, anchor('5', 5, 8), anchor('6', 8, 10), target]],
    ['the anchors of its stage are busy', [anchors[0]!, anchor('3', 5, 10, { freeSlots: 0 }), target]],
    ['the anchors of its stage are loading', [anchors[0]!, anchor('3', 5, 10, { isReady: false }), target]],
    [
      'the anchor of its stage is of no exact class',
      [anchors[0]!, anchor('3', 5, 10, { numericClass: 'webgpu' }), target],
    ],
  ];
  it.each(missing)('waits while %s', (_what, candidates) => {
    expect(plan(candidates)).toEqual({ type: 'wait' });
  });

  it('is of anchors alone where it is about nobody', () => {
    const names = stagesOf(plan([...anchors, ...others], { target: null })).flat();
    expect(names.every((name) => name.startsWith('anchor'))).toBe(true);
  });
});
