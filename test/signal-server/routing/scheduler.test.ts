import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { Candidate, Demand } from '../../../signal-server/routing/candidate.ts';
import { planRoute, type Planned } from '../../../signal-server/routing/scheduler.ts';

/** Units of a model of 8 layers: 0 to 9. */
const LAYERS = 8;

function candidate(id: string, start: number, end: number, overrides: Partial<Candidate> = {}): Candidate {
  return {
    id: id as PeerId,
    span: { start, end },
    prefix: `prefix of ${id}`,
    webrtc: true,
    numericClass: 'wasm',
    layerMs: 1,
    running: 0,
    freeSlots: 1,
    isReady: true,
    isHidden: false,
    failedLately: false,
    isNew: false,
    ...overrides,
  };
}

const demand: Demand = { requester: 'requester' as PeerId, webrtc: true, minStages: 2, shadows: 0, exclude: new Set() };

function primaries(planned: Planned): string[] {
  if (planned.type !== 'route') throw new Error(`no route: ${JSON.stringify(planned)}`);
  return planned.stages.map((stage) => stage.primary.id);
}

function shadowsOf(planned: Planned): string[][] {
  if (planned.type !== 'route') throw new Error(`no route: ${JSON.stringify(planned)}`);
  return planned.stages.map((stage) => stage.shadows.map((shadow) => shadow.id));
}

const plan = (candidates: Candidate[], overrides: Partial<Demand> = {}): Planned =>
  planRoute(LAYERS, { ...demand, ...overrides }, candidates);

describe('a route', () => {
  it('takes the faster of two volunteers with the same stage', () => {
    expect(
      primaries(plan([candidate('slow', 0, 5, { layerMs: 9 }), candidate('fast', 0, 5), candidate('end', 5, 10)])),
    ).toEqual(['fast', 'end']);
  });

  it('takes the idle of two equal volunteers', () => {
    const busy = candidate('busy', 0, 5, { running: 2 });
    expect(primaries(plan([busy, candidate('idle', 0, 5), candidate('end', 5, 10)]))).toEqual(['idle', 'end']);
  });

  it('goes over a volunteer that takes no time until its slots are taken, and over slow ones only then', () => {
    const others = [candidate('slow', 0, 5, { layerMs: 0.1, freeSlots: 4 }), candidate('end', 5, 10)];
    const withSlots = (running: number) =>
      plan([candidate('timeless', 0, 5, { layerMs: 0, running, freeSlots: 4 - running }), ...others]);
    expect([0, 1, 2, 3, 4].map((running) => primaries(withSlots(running))[0])).toEqual([
      ...Array<string>(4).fill('timeless'),
      'slow',
    ]);
  });

  it('has the fewest stages among equally fast volunteers', () => {
    const quarters = [candidate('q1', 0, 2), candidate('q2', 2, 5)];
    expect(primaries(plan([...quarters, candidate('half', 0, 5), candidate('end', 5, 10)]))).toEqual(['half', 'end']);
  });

  it('has more stages where these are faster by more than their hops cost', () => {
    const quarters = [candidate('q1', 0, 2), candidate('q2', 2, 5)];
    const half = candidate('half', 0, 5, { layerMs: 50 });
    expect(primaries(plan([...quarters, half, candidate('end', 5, 10)]))).toEqual(['q1', 'q2', 'end']);
  });

  it('has at least as many stages as asked for, however slow they are', () => {
    const quarters = [candidate('q1', 0, 2, { layerMs: 99 }), candidate('q2', 2, 5, { layerMs: 99 })];
    const planned = plan([...quarters, candidate('half', 0, 5), candidate('end', 5, 10)], { minStages: 3 });
    expect(primaries(planned)).toEqual(['q1', 'q2', 'end']);
  });

  it('prefers data channels to the relay', () => {
    const relayed = candidate('relayed', 0, 5, { webrtc: false });
    expect(primaries(plan([relayed, candidate('direct', 0, 5), candidate('end', 5, 10)]))).toEqual(['direct', 'end']);
  });

  it('spreads over address prefixes although a neighbour is faster', () => {
    const near = candidate('near', 5, 10, { prefix: 'prefix of start' });
    const planned = plan([candidate('start', 0, 5), near, candidate('far', 5, 10, { layerMs: 80 })]);
    expect(primaries(planned)).toEqual(['start', 'far']);
    expect(planned).toMatchObject({ notes: [] });
  });

  it('finds the one spread route among many fast volunteers of one network', () => {
    const crowd = Array.from({ length: 200 }, (_, i) => candidate(`crowd ${i}`, 0, 5, { prefix: 'crowd' }));
    const ends = Array.from({ length: 20 }, (_, i) => candidate(`end ${i}`, 5, 10, { prefix: 'crowd' }));
    expect(primaries(plan([...crowd, candidate('alone', 0, 5, { layerMs: 99 }), ...ends]))[0]).toBe('alone');
  });

  it('says so and goes on where all share one prefix', () => {
    const planned = plan([candidate('a', 0, 5, { prefix: 'same' }), candidate('b', 5, 10, { prefix: 'same' })]);
    expect(primaries(planned)).toEqual(['a', 'b']);
    expect(planned).toMatchObject({ notes: [expect.stringContaining('address prefix')] });
  });

  it('leaves the requester out where there is another', () => {
    const own = candidate('requester', 0, 5);
    expect(primaries(plan([own, candidate('other', 0, 5, { layerMs: 99 }), candidate('end', 5, 10)]))).toEqual([
      'other',
      'end',
    ]);
  });

  it('says once that all share one address prefix, and nothing of each stage', () => {
    const prefix = 'the one';
    const all = ['a', 'b'].flatMap((id) => [
      candidate(`${id}1`, 0, 5, { prefix }),
      candidate(`${id}2`, 5, 10, { prefix }),
    ]);
    const notes = ['all volunteers share one address prefix, so the route cannot spread over networks'];
    expect(plan(all, { shadows: 1 })).toMatchObject({ type: 'route', notes });
  });

  it('says which stage shares an address prefix with its shadow where others do not', () => {
    const all = [
      candidate('p1', 0, 5),
      candidate('p2', 5, 10, { prefix: 'x' }),
      candidate('s2', 5, 10, { prefix: 'x' }),
    ];
    const planned = plan([...all, candidate('s1', 0, 5)], { shadows: 1 });
    expect(planned).toMatchObject({ notes: ['stage 2 and its shadow share an address prefix'] });
  });

  it('comes last to volunteers that failed this requester a moment ago', () => {
    const failed = candidate('failed', 0, 5, { failedLately: true });
    expect(primaries(plan([failed, candidate('other', 0, 5, { layerMs: 99 }), candidate('end', 5, 10)]))).toEqual([
      'other',
      'end',
    ]);
    expect(primaries(plan([failed, candidate('end', 5, 10)]))).toEqual(['failed', 'end']);
  });

  it('goes on over the volunteers of the session whose place it takes, be others faster', () => {
    const kept = { isKept: true, layerMs: 9 };
    const all = [candidate('fast', 0, 5), candidate('kept', 0, 5, kept), candidate('end', 5, 10)];
    expect(primaries(plan(all))).toEqual(['kept', 'end']);
  });

  it('does not go on over them at the price of a check', () => {
    const all = [candidate('kept', 0, 10, { isKept: true }), candidate('a', 0, 10), candidate('b', 0, 10)];
    const alone = candidate('kept alone', 0, 5, { isKept: true });
    const planned = plan([...all, alone, candidate('end', 5, 10)], { shadows: 1, minStages: 1 });
    expect(primaries(planned)).toEqual(['kept']);
    expect(shadowsOf(planned)[0]).toHaveLength(1);
  });

  it('never goes over an excluded volunteer', () => {
    const planned = plan([candidate('a', 0, 5), candidate('b', 5, 10)], { exclude: new Set(['a' as PeerId]) });
    expect(planned).toMatchObject({ type: 'refused', code: 'no-coverage', missing: { start: 0, end: 4 } });
  });

  it.each([0, 1])('is found in a large network in few looks at each volunteer, with %d shadows each', (shadows) => {
    let looks = 0;
    const counted = (one: Candidate): Candidate =>
      new Proxy(one, { get: (target, key) => (looks++, Reflect.get(target, key) as unknown) });
    const looksAmong = (count: number): number => {
      looks = 0;
      const many = Array.from({ length: count }, (_, i) =>
        counted(candidate(`v${i}`, (i % 5) * 2, (i % 5) * 2 + 2, { layerMs: 1 + (i % 7) })),
      );
      expect(primaries(plan(many, { shadows }))).toHaveLength(5);
      return looks;
    };
    const looksAmongThousand = looksAmong(1000);
    expect(looksAmongThousand).toBeLessThan(200 * 1000);
    expect(looksAmong(4000)).toBeLessThan(4 * looksAmongThousand);
  });
});

describe('shadows', () => {
  const end = candidate('end', 5, 10);

  it('are other volunteers with the very same stage', () => {
    const planned = plan([candidate('a', 0, 5), candidate('b', 0, 5, { layerMs: 2 }), candidate('part', 0, 2), end], {
      shadows: 1,
    });
    expect(planned).toMatchObject({ stages: [{ primary: { id: 'a' }, shadows: [{ id: 'b' }] }, { shadows: [] }] });
    expect(planned).toMatchObject({ notes: [expect.stringContaining('stage 2 has no shadow')] });
  });

  it('are of another prefix than their primary where there is one', () => {
    const near = candidate('near', 0, 5, { prefix: 'prefix of a', layerMs: 2 });
    const far = candidate('far', 0, 5, { layerMs: 50 });
    expect(plan([candidate('a', 0, 5), near, far, end], { shadows: 1 })).toMatchObject({
      stages: [{ shadows: [{ id: 'far' }] }, {}],
    });
  });

  it('are never the requester', () => {
    const planned = plan([candidate('a', 0, 5), candidate('requester', 0, 5), end], { shadows: 1 });
    expect(planned).toMatchObject({ stages: [{ shadows: [] }, {}], lacksBusyShadows: false });
  });

  it('are not asked of volunteers without a free slot, which are worth waiting for', () => {
    const full = candidate('full', 0, 5, { freeSlots: 0 });
    const planned = plan([candidate('a', 0, 5), full, end], { shadows: 1 });
    expect(planned).toMatchObject({ stages: [{ shadows: [] }, {}], lacksBusyShadows: true });
  });

  it('that are still loading are worth waiting for', () => {
    const loading = candidate('loading', 0, 5, { isReady: false });
    expect(plan([candidate('a', 0, 5), loading, end], { shadows: 1 })).toMatchObject({ lacksBusyShadows: true });
  });

  it('are worth waiting for only where they are missing', () => {
    const pairs = [candidate('a', 0, 5), candidate('b', 0, 5), candidate('c', 0, 5, { isReady: false }), end];
    expect(plan([...pairs, candidate('end 2', 5, 10)], { shadows: 1 })).toMatchObject({ lacksBusyShadows: false });
    expect(plan([candidate('a', 0, 5, { freeSlots: 1 }), candidate('b', 0, 5, { isReady: false }), end])).toMatchObject(
      {
        lacksBusyShadows: false,
      },
    );
  });

  it('decide the route: a pair of slow volunteers comes before a fast one that nobody could check', () => {
    const pair = [candidate('slow', 0, 5, { layerMs: 90 }), candidate('slow 2', 0, 5, { layerMs: 99 })];
    const quarters = [candidate('fast', 0, 2), candidate('fast 2', 2, 5)];
    const ends = [end, candidate('end 2', 5, 10)];
    expect(primaries(plan([...pair, ...quarters, ...ends], { shadows: 1 }))).toEqual(['slow', 'end']);
    expect(primaries(plan([...pair, ...quarters, ...ends]))).toEqual(['fast', 'fast 2', 'end']);
  });

  it('count less than a route over different networks', () => {
    const pair = ['near', 'near 2'].map((id) => candidate(id, 0, 5, { prefix: 'prefix of end' }));
    const far = [candidate('far', 0, 2), candidate('far 2', 2, 5)];
    expect(
      primaries(plan([...pair, ...far, end, candidate('end 2', 5, 10, { prefix: 'prefix of end' })], { shadows: 1 })),
    ).toEqual(['far', 'far 2', 'end']);
  });

  it('are of different prefixes among each other too', () => {
    const others = ['x', 'y'].map((id) => candidate(id, 0, 5, { prefix: 'one network', layerMs: 2 }));
    const far = candidate('far', 0, 5, { layerMs: 50 });
    const planned = plan([candidate('a', 0, 5), ...others, far, end], { shadows: 2 });
    expect(shadowsOf(planned)[0]).toEqual(['x', 'far']);
  });

  it('are two for a new key, where there are that many, and one for others', () => {
    const fresh = candidate('new', 0, 5, { isNew: true });
    const old = [candidate('b', 0, 5, { layerMs: 2 }), candidate('c', 0, 5, { layerMs: 3 })];
    expect(shadowsOf(plan([fresh, ...old, end], { shadows: 1 }))[0]).toEqual(['b', 'c']);
    expect(shadowsOf(plan([candidate('a', 0, 5), ...old, end], { shadows: 1 }))[0]).toEqual(['b']);
    expect(shadowsOf(plan([fresh, ...old, end]))[0]).toEqual([]);
  });

  it('of a new key leave it the smaller part where there is only one other', () => {
    const planned = plan([candidate('new', 0, 5, { isNew: true }), candidate('old', 0, 5, { layerMs: 9 }), end], {
      shadows: 1,
    });
    expect(primaries(planned)).toEqual(['old', 'end']);
    expect(shadowsOf(planned)[0]).toEqual(['new']);
  });

  it('of a new key are not all new, though new ones are faster and of other networks', () => {
    const fresh = ['n1', 'n2', 'n3'].map((id) => candidate(id, 0, 5, { isNew: true }));
    const old = candidate('old', 0, 5, { prefix: 'prefix of n1', layerMs: 99 });
    const planned = plan([...fresh, old, end], { shadows: 1 });
    expect(primaries(planned)[0]).toBe('n1');
    expect(shadowsOf(planned)[0]).toContain('old');
  });

  it('and their primary are never all new where another way through the model is not', () => {
    const fresh = ['n1', 'n2', 'n3'].map((id) => candidate(id, 0, 5, { isNew: true }));
    const old = [candidate('o1', 0, 2), candidate('o2', 0, 2), candidate('o3', 2, 5), candidate('o4', 2, 5)];
    expect(primaries(plan([...fresh, ...old, end], { shadows: 1 }))).toEqual(['o1', 'o3', 'end']);
    expect(plan([...fresh, end], { shadows: 1 })).toMatchObject({
      notes: expect.arrayContaining([expect.stringContaining('new volunteers only')]) as string[],
    });
  });

  it('never make a volunteer part of one route twice', () => {
    const stages = [0, 5].flatMap((start) =>
      Array.from({ length: 6 }, (_, i) => candidate(`${start} ${i}`, start, start + 5, { isNew: i % 2 === 0 })),
    );
    for (const shadows of [1, 2, 3, 4]) {
      const planned = plan(stages, { shadows });
      const ids = [...primaries(planned), ...shadowsOf(planned).flat()];
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.length).toBe(2 + 2 * Math.max(shadows, 2));
    }
  });
});

describe('no route', () => {
  it.each([
    ['nobody is there', [], { start: 0, end: 8 }, 'the embedding and layers 0 to 7 and the head'],
    ['the end is missing', [candidate('a', 0, 5)], { start: 4, end: 8 }, 'layers 4 to 7 and the head'],
    ['the middle is missing', [candidate('a', 0, 3), candidate('b', 6, 10)], { start: 2, end: 5 }, 'layers 2 to 4'],
    ['only the head is missing', [candidate('a', 0, 9)], { start: 8, end: 8 }, 'the head'],
  ])('because %s', (_title, candidates, missing, words) => {
    expect(plan(candidates)).toEqual({
      type: 'refused',
      code: 'no-coverage',
      message: `no volunteer holds ${words}`,
      missing,
    });
  });

  it.each([
    ['the requester itself holds', candidate('requester', 5, 10), {}],
    ['somebody it keeps away from holds', candidate('bad', 5, 10), { exclude: new Set(['bad' as PeerId]) }],
  ])('because of layers that only %s, and says that they are held', (_title, holder, overrides) => {
    expect(plan([candidate('a', 0, 5), holder], overrides)).toEqual({
      type: 'refused',
      code: 'no-coverage',
      message: 'only volunteers that cannot be used for this answer hold layers 4 to 7 and the head',
      missing: { start: 4, end: 8 },
    });
  });

  it('because nobody at all holds some layers, whoever may be used for others', () => {
    const planned = plan([candidate('requester', 0, 5), candidate('a', 5, 9)]);
    expect(planned).toMatchObject({ message: 'no volunteer holds the head', missing: { start: 8, end: 8 } });
  });

  it('because there are fewer volunteers than stages must be', () => {
    const planned = plan([candidate('a', 0, 5), candidate('b', 5, 10)], { minStages: 3 });
    expect(planned).toMatchObject({ type: 'refused', code: 'too-few-volunteers', missing: null });
  });

  it('now, but later: all slots of a stage are taken', () => {
    expect(plan([candidate('a', 0, 5, { freeSlots: 0 }), candidate('b', 5, 10)])).toEqual({ type: 'wait' });
  });

  it('now, but later: a stage is still loading', () => {
    expect(plan([candidate('a', 0, 5, { isReady: false }), candidate('b', 5, 10)])).toEqual({ type: 'wait' });
  });
});
