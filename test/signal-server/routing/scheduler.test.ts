import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { Candidate, Demand } from '../../../signal-server/routing/candidate.ts';
import { Draw } from '../../../signal-server/routing/draw.ts';
import { planRoute, type Planned } from '../../../signal-server/routing/scheduler.ts';
import { candidate, demand, primaries, shadowsOf } from '../../support/candidates.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';

/** Units of a model of 8 layers: 0 to 9. */
const LAYERS = 8;

const plan = (candidates: Candidate[], overrides: Partial<Demand> = {}, seed = 1): Planned =>
  planRoute(LAYERS, { ...demand, ...overrides }, candidates, new Draw(seededBytes(seed)));

/** Many routes, drawn one after the other. */
function plans(candidates: Candidate[], overrides: Partial<Demand> = {}): Planned[] {
  return Array.from({ length: 200 }, (_, seed) => plan(candidates, overrides, seed));
}

/** The ids that took part, each with the number of times. */
function tally(drawn: readonly (string | undefined)[]): Record<string, number> {
  const times: Record<string, number> = {};
  for (const id of drawn) times[String(id)] = (times[String(id)] ?? 0) + 1;
  return times;
}

/** The first primaries, and how often each was drawn. */
const firsts = (candidates: Candidate[], overrides: Partial<Demand> = {}): Record<string, number> =>
  tally(plans(candidates, overrides).map((planned) => primaries(planned)[0]));

describe('a route', () => {
  it('never takes a volunteer that needs more than twice the time of the quickest', () => {
    const slow = candidate('slow', 0, 5, { layerMs: 9 });
    expect(firsts([slow, candidate('fast', 0, 5), candidate('end', 5, 10)])).toEqual({ fast: 200 });
  });

  it('takes those that need less by chance: the quickest, the idle and the direct no more often than others', () => {
    const others = [
      candidate('slower', 0, 5, { layerMs: 5 }),
      candidate('busy', 0, 5, { running: 2 }),
      candidate('relayed', 0, 5, { webrtc: false }),
      candidate('end', 5, 10),
    ];
    const times = firsts([candidate('fast', 0, 5), ...others]);
    expect(Object.keys(times).sort()).toEqual(['busy', 'fast', 'relayed', 'slower']);
    // 50 of 200 each; four deviations are 24.5.
    for (const count of Object.values(times)) expect(Math.abs(count - 50)).toBeLessThan(25);
  });

  it('takes the idle of two equal volunteers where the other has more to do than can be waited for', () => {
    const busy = candidate('busy', 0, 5, { running: 6 });
    expect(firsts([busy, candidate('idle', 0, 5), candidate('end', 5, 10)])).toEqual({ idle: 200 });
  });

  it('gives a volunteer that takes no time its chance and no more, and nothing once its slots are taken', () => {
    const others = [candidate('slow', 0, 5, { layerMs: 0.1, freeSlots: 4 }), candidate('end', 5, 10)];
    const withSlots = (running: number) =>
      firsts([candidate('timeless', 0, 5, { layerMs: 0, running, freeSlots: 4 - running }), ...others]);
    for (const running of [0, 1, 2, 3]) expect(Math.abs(withSlots(running)['timeless']! - 100)).toBeLessThan(29);
    expect(withSlots(4)).toEqual({ slow: 200 });
  });

  it('has the fewest stages among equally fast volunteers', () => {
    const quarters = [candidate('q1', 0, 2), candidate('q2', 2, 5)];
    expect(firsts([...quarters, candidate('half', 0, 5), candidate('end', 5, 10)])).toEqual({ half: 200 });
  });

  it('is cut in either way where both take about as long, more often in the one that more can compute', () => {
    const quarters = [candidate('q1', 0, 2), candidate('q2', 2, 5)];
    const halves = ['a', 'b', 'c'].map((id) => candidate(id, 0, 5, { layerMs: 2.5 }));
    const { q1, ...rest } = firsts([...quarters, ...halves, candidate('end', 5, 10)]);
    // A quarter of the routes; four deviations are 24.5.
    expect(Math.abs(q1! - 50)).toBeLessThan(25);
    expect(Object.keys(rest).sort()).toEqual(['a', 'b', 'c']);
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

  it('leaves a volunteer behind the relay out where this makes it too slow', () => {
    const [relayed, direct] = [false, true].map((webrtc) => candidate(`${webrtc}`, 0, 5, { webrtc, layerMs: 3 }));
    const end = candidate('end', 5, 10);
    expect(firsts([relayed!, candidate('quick', 0, 5, { layerMs: 0.2 }), end])).toEqual({ quick: 200 });
    expect(firsts([direct!, candidate('quick', 0, 5, { layerMs: 0.2 }), end])).toHaveProperty('true');
  });

  it('spreads over address prefixes although a neighbour is faster', () => {
    const near = candidate('near', 5, 10, { prefix: 'prefix of start' });
    const planned = plan([candidate('start', 0, 5), near, candidate('far', 5, 10, { layerMs: 80 })]);
    expect(primaries(planned)).toEqual(['start', 'far']);
    expect(planned).toMatchObject({ notes: [] });
  });

  it('finds the one spread route among many fast volunteers of one network', () => {
    // The one that is alone is too slow to be drawn, and is taken for its network.
    const crowd = Array.from({ length: 200 }, (_, i) => candidate(`crowd ${i}`, 0, 5, { prefix: 'crowd' }));
    const ends = Array.from({ length: 20 }, (_, i) => candidate(`end ${i}`, 5, 10, { prefix: 'crowd' }));
    expect(primaries(plan([...crowd, candidate('alone', 0, 5, { layerMs: 99 }), ...ends]))[0]).toBe('alone');
  });

  it('takes a prefix as often as any other, however many keys it has', () => {
    const crowd = Array.from({ length: 30 }, (_, i) => candidate(`crowd ${i}`, 0, 5, { prefix: 'crowd' }));
    const alone = ['a', 'b', 'c'].map((id) => candidate(id, 0, 5));
    const { a, b, c, ...rest } = firsts([...crowd, ...alone, candidate('end', 5, 10)]);
    const ofCrowd = Object.values(rest).reduce((sum, count) => sum + count, 0);
    for (const count of [a!, b!, c!, ofCrowd]) expect(Math.abs(count - 50)).toBeLessThan(25);
    expect(Object.keys(rest).length).toBeGreaterThan(15);
  });

  it('lets rules about prefixes rest where there is one only: each key has its chance, beside any other', () => {
    const all = ['a', 'b', 'c', 'd'].map((id) => candidate(id, 0, 5, { prefix: 'lan' }));
    const drawn = plans([...all, candidate('end', 5, 10, { prefix: 'lan' })], { shadows: 1 });
    const pairs = tally(drawn.map((planned) => [primaries(planned)[0], shadowsOf(planned)[0]![0]].join()));
    expect(Object.keys(pairs)).toHaveLength(12);
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

  it('puts the steady in the place of who is missing, for who stalled it may have brought more', () => {
    const kept = candidate('kept', 5, 10, { isKept: true });
    const others = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => candidate(name, 0, 5));
    const all = [...others, candidate('anchor', 0, 5, { isSteady: true, layerMs: 9 }), kept];
    expect(primaries(plan(all))).toEqual(['anchor', 'kept']);
    expect(primaries(plan([...others.slice(0, 1), kept]))).toEqual(['a', 'kept']);
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
    const all = [candidate('a', 0, 5), candidate('b', 0, 5, { layerMs: 2 }), candidate('part', 0, 2), end];
    for (const planned of plans(all, { shadows: 1 })) {
      expect([...primaries(planned), ...shadowsOf(planned).flat()].sort()).toEqual(['a', 'b', 'end']);
      expect(shadowsOf(planned)[1]).toEqual([]);
      expect(planned).toMatchObject({ notes: [expect.stringContaining('stage 2 has no shadow')] });
    }
  });

  it('are of another prefix than their primary where there is one', () => {
    const near = candidate('near', 0, 5, { prefix: 'prefix of a', layerMs: 2 });
    const far = candidate('far', 0, 5, { layerMs: 50 });
    for (const planned of plans([candidate('a', 0, 5), near, far, end], { shadows: 1 })) {
      expect(shadowsOf(planned)[0]![0]).toBe('far');
    }
  });

  it('are drawn, and may be slower than primaries: who keeps up before who does not', () => {
    const slow = ['x', 'y', 'z'].map((id) => candidate(id, 0, 5, { layerMs: 8 }));
    const slowest = candidate('slowest', 0, 5, { layerMs: 90 });
    const drawn = plans([candidate('a', 0, 5), ...slow, slowest, end], { shadows: 1 });
    expect(tally(drawn.map((planned) => primaries(planned)[0]))).toEqual({ a: 200 });
    const times = tally(drawn.map((planned) => shadowsOf(planned)[0]![0]));
    expect(Object.keys(times).sort()).toEqual(['x', 'y', 'z']);
    for (const count of Object.values(times)) expect(Math.abs(count - 200 / 3)).toBeLessThan(27);
    expect(shadowsOf(plan([candidate('a', 0, 5), slowest, end], { shadows: 1 }))[0]).toEqual(['slowest']);
  });

  it('are one more than wanted now and then, of those that keep up and only for who has proven itself', () => {
    const others = ['x', 'y', 'z'].map((id) => candidate(id, 0, 5));
    const countOf = (primary: Partial<Candidate>, some = others) =>
      tally(
        plans([candidate('a', 0, 5, primary), ...some, end], { shadows: 1 })
          .filter((planned) => primaries(planned)[0] === 'a')
          .map((planned) => String(shadowsOf(planned)[0]!.length)),
      );
    const { 1: one, 2: two, ...rest } = countOf({});
    expect(rest).toEqual({});
    // An eighth; four deviations of about 50 draws are 9.4.
    expect(Math.abs(two! - (one! + two!) / 8)).toBeLessThan(10);
    expect(two).toBeGreaterThan(0);
    expect(Object.keys(countOf({ isNew: true }))).toEqual(['2']);
    const lame = others.slice(1).map((other) => ({ ...other, layerMs: 90 }));
    expect(Object.keys(countOf({}, [others[0]!, ...lame]))).toEqual(['1']);
    expect(plan([candidate('a', 0, 5), candidate('b', 0, 5), end], { shadows: 1 })).toMatchObject({
      notes: [expect.stringContaining('stage 2')],
    });
  });

  it('have an anchor or a key of long standing among them, or as their primary, in a quarter of the routes at least', () => {
    const crowd = Array.from({ length: 40 }, (_, i) => candidate(`${i}`, 0, 5));
    const steady = candidate('steady', 0, 5, { isSteady: true });
    const shareOf = (one: Candidate): number =>
      plans([...crowd, one, end], { shadows: 1 }).filter((planned) =>
        [primaries(planned)[0], ...shadowsOf(planned)[0]!].includes('steady'),
      ).length / 200;
    // By chance alone two or three of 41: 5.2 %; with the quarter 28.9 %. Four deviations are 12.8 %.
    expect(Math.abs(shareOf(steady) - 0.289)).toBeLessThan(0.128);
    expect(shareOf({ ...steady, isSteady: false })).toBeLessThan(0.12);
    expect(shareOf({ ...steady, layerMs: 90 })).toBe(0);
    expect(shareOf({ ...steady, freeSlots: 0 })).toBe(0);
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
    const untried = candidate('untried', 0, 5, { isTried: false });
    expect(plan([candidate('a', 0, 5), untried, end], { shadows: 1 })).toMatchObject({ lacksBusyShadows: false });
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
    const checked = firsts([...pair, ...quarters, ...ends], { shadows: 1 });
    expect(Object.keys(checked).sort()).toEqual(['slow', 'slow 2']);
    expect(firsts([...pair, ...quarters, ...ends])).toEqual({ fast: 200 });
  });

  it('count less than a route over different networks', () => {
    const pair = ['near', 'near 2'].map((id) => candidate(id, 0, 5, { prefix: 'prefix of end' }));
    const far = [candidate('far', 0, 2), candidate('far 2', 2, 5)];
    const ends = [end, candidate('end 2', 5, 10, { prefix: 'prefix of end' })];
    expect(firsts([...pair, ...far, ...ends], { shadows: 1 })).toEqual({ far: 200 });
  });

  it('are of different prefixes among each other too', () => {
    const others = ['x', 'y'].map((id) => candidate(id, 0, 5, { prefix: 'one network', layerMs: 2 }));
    const far = candidate('far', 0, 5, { layerMs: 50 });
    const drawn = plans([candidate('a', 0, 5), ...others, far, end], { shadows: 2 });
    for (const planned of drawn) {
      const [primary, first, second] = [primaries(planned)[0]!, ...shadowsOf(planned)[0]!];
      const networks = [primary, first!, second!].map((id) => (['x', 'y'].includes(id) ? 'one network' : id));
      expect([...networks].sort()).toEqual(['a', 'far', 'one network']);
    }
  });

  it('are two for a new key, where there are that many, and one for others', () => {
    const fresh = candidate('new', 0, 5, { isNew: true });
    const old = [candidate('b', 0, 5, { layerMs: 20 }), candidate('c', 0, 5, { layerMs: 30 })];
    expect([...shadowsOf(plan([fresh, ...old, end], { shadows: 1 }))[0]!].sort()).toEqual(['b', 'c']);
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
    for (const planned of plans([...fresh, old, end], { shadows: 1 })) {
      expect(primaries(planned)[0]).toMatch(/n[123]/);
      expect(shadowsOf(planned)[0]).toContain('old');
    }
  });

  it('and their primary are never all new where another way through the model is not', () => {
    const fresh = ['n1', 'n2', 'n3'].map((id) => candidate(id, 0, 5, { isNew: true }));
    const old = [candidate('o1', 0, 2), candidate('o2', 0, 2), candidate('o3', 2, 5), candidate('o4', 2, 5)];
    for (const planned of plans([...fresh, ...old, end], { shadows: 1 })) {
      expect(primaries(planned).join()).toMatch(/^o[12],o[34],end$/);
    }
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
      expect(ids.length).toBeGreaterThanOrEqual(2 + 2 * shadows);
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

describe('a class that nobody has measured', () => {
  const end = candidate('end', 5, 10);
  const invented = candidate('invented', 0, 5, { numericClass: 'webgpu/apple/m9', isMeasured: false });

  it('is never primary where a replica of an exact class is free, however slow that one is, and is its shadow', () => {
    const exact = candidate('exact', 0, 5, { layerMs: 90 });
    for (const planned of plans([invented, exact, end], { shadows: 1 })) {
      expect(primaries(planned)[0]).toBe('exact');
      expect(shadowsOf(planned)[0]).toEqual(['invented']);
    }
    expect(firsts([invented, { ...exact, freeSlots: 0 }, end], { shadows: 1 })).toEqual({ invented: 200 });
  });

  it('gives its place to a replica of an exact class in a route that takes the place of its own, and stays as its shadow', () => {
    const kept = { ...invented, isKept: true };
    for (const planned of plans([kept, candidate('exact', 0, 5, { layerMs: 90 }), end], { shadows: 1 })) {
      expect(primaries(planned)[0]).toBe('exact');
      expect(shadowsOf(planned)[0]).toEqual(['invented']);
    }
  });

  it('is not made exact by a name: a key that was not found to compute in its exact class comes no sooner', () => {
    const named = candidate('named', 0, 5, { isMeasured: false });
    expect(firsts([named, candidate('exact', 0, 5, { layerMs: 90 }), end], { shadows: 1 })).toEqual({ exact: 200 });
  });

  it('comes after classes with measured limits too', () => {
    const measured = candidate('measured', 0, 5, { numericClass: 'webgpu/google/swiftshader', layerMs: 90 });
    expect(firsts([invented, measured, end], { shadows: 1 })).toEqual({ measured: 200 });
  });

  it('gets two shadows as primary, and the route says so', () => {
    const others = ['x', 'y'].map((id) => ({ ...invented, id: id as PeerId, prefix: id }));
    for (const planned of plans([invented, ...others, end], { shadows: 1 })) {
      expect(shadowsOf(planned)[0]).toHaveLength(2);
      expect(planned).toMatchObject({
        notes: expect.arrayContaining([expect.stringContaining('class that nobody has measured')]) as string[],
      });
    }
  });
});

describe('a volunteer that nobody has measured', () => {
  const all = [candidate('a', 0, 5), candidate('end', 5, 10)];

  it('is not drawn', () => {
    const untried = candidate('untried', 0, 5, { isTried: false, layerMs: 0 });
    for (const planned of plans([...all, untried], { shadows: 1 })) {
      expect(primaries(planned)).toEqual(['a', 'end']);
      expect(shadowsOf(planned).flat()).toEqual([]);
    }
  });

  it('is waited for where there is nobody else', () => {
    expect(plan([{ ...all[0]!, isTried: false }, all[1]!])).toEqual({ type: 'wait' });
  });
});
