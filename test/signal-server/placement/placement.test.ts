import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import { chooseMoves } from '../../../signal-server/placement/placement-moves.ts';
import { choosePlace, whyIdle, type Hand } from '../../../signal-server/placement/placement.ts';
import type { LotOf } from '../../../signal-server/placement/place-lots.ts';
import { planModel, type PlannedModel } from '../../../signal-server/placement/planned-model.ts';
import { StageCounts } from '../../../signal-server/placement/stage-counts.ts';
import { coverageOf, type UnitSpan } from '../../../signal-server/placement/stage-grid.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const digest = 'a'.repeat(64) as Digest;
const other = 'b'.repeat(64) as Digest;
/** 8 layers: units 0 to 9. On WebGPU a unit of this model takes 1 KiB and its KV of one session. */
const model = planModel(digest, smallManifest(), 1, true);
const [left, right] = model.grid as [UnitSpan, UnitSpan];
const bytesOf = (span: UnitSpan): number => model.memoryBytes(span, 'webgpu', 1);

function hand(id: string, overrides: Partial<Hand> = {}): Hand {
  return {
    id: id as PeerId,
    network: `network of ${id}`,
    isAnchor: false,
    isNew: false,
    backend: 'webgpu',
    hasProcessor: true,
    runtimeVersion: '1.30.0',
    pledgeBytes: bytesOf(left),
    slots: 1,
    layerMs: 1,
    held: [],
    failed: [],
    placed: null,
    isReady: true,
    mayMove: true,
    ...overrides,
  };
}

const on = (span: UnitSpan, of: Digest = digest): Pick<Hand, 'placed'> => ({ placed: { model: of, span } });

/** Where so many equal volunteers end up that join one after the other. */
function placed(count: number): UnitSpan[] {
  const hands: Hand[] = [];
  for (let i = 0; i < count; i++) {
    const one = hand(`v${i}`);
    const { span } = choosePlace(one, hands, [model])!;
    hands.push({ ...one, ...on(span) });
  }
  return hands.map((one) => one.placed!.span);
}

describe('a model that processors alone hold exactly', () => {
  const small = smallManifest();
  const pinned = planModel(digest, { ...small, pins: { ...small.pins, onlyOn: 'wasm' } }, 1, true);
  const graphics = hand('a', { pledgeBytes: 1e12 });

  it('is charged as on a processor, whatever a device offers', () => {
    for (const span of pinned.grid)
      expect(pinned.memoryBytes(span, 'webgpu', 2)).toBe(model.memoryBytes(span, 'wasm', 2));
    const charge = pinned.memoryBytes(left, 'wasm', 1);
    expect(choosePlace(hand('a', { pledgeBytes: charge }), [hand('b', on(right))], [pinned])).toMatchObject({
      span: left,
    });
    expect(choosePlace(hand('a', { pledgeBytes: charge - 1 }), [hand('b', on(right))], [pinned])?.span).not.toEqual(
      left,
    );
  });

  it('goes to no volunteer whose processor is not to compute, by no way', () => {
    const only = hand('a', { pledgeBytes: 1e12, hasProcessor: false });
    expect(choosePlace(graphics, [], [pinned])).not.toBeNull();
    expect(choosePlace(only, [graphics], [pinned])).toBeNull();
    expect(choosePlace(only, [], [pinned], null, new Set([digest]))).toBeNull();
    expect(choosePlace({ ...only, held: [{ model: digest, span: left }] }, [graphics], [pinned])).toBeNull();
    expect(choosePlace(only, [], [model])).not.toBeNull();
    expect(whyIdle(only, [pinned])).toMatch('processors alone run the models here');
    const others = planModel(other, smallManifest({ name: 'other' }), 1, true);
    const idle = ['a', 'b', 'c', 'd'].map((id) => ({ ...only, id: id as PeerId, ...on(left, other) }));
    const moves = chooseMoves(idle, [pinned, others], new Set([digest]));
    expect(moves.filter((move) => move.model === digest)).toEqual([]);
    const free = idle.map((one) => ({ ...one, hasProcessor: true }));
    expect(chooseMoves(free, [pinned, others], new Set([digest]))[0]).toMatchObject({ model: digest });
  });
});

describe('choosing a place', () => {
  it('gives the first volunteer the largest stage that fits, never the whole model', () => {
    expect(choosePlace(hand('a', { pledgeBytes: 1e12 }), [], [model])).toMatchObject({ model: digest, span: left });
  });

  it('gives four volunteers, as the anchors of a new server are, two halves with two each', () => {
    expect(placed(4)).toEqual([left, right, left, right]);
  });

  it('keeps the halves balanced while more join, so that there is a third who can settle a difference', () => {
    const spans = placed(7);
    expect(spans.slice(4)).toEqual([left, right, left]);
  });

  it('makes up pairs of one stage before it begins another', () => {
    const quarter = model.grid.find((span) => span.start === 0 && span.end < left.end)!;
    const small = { pledgeBytes: bytesOf(quarter) };
    const others = [hand('a', on(left)), hand('b', on(right)), hand('c', { ...small, ...on(quarter) })];
    expect(choosePlace(hand('d', small), others, [model])?.span).toEqual(quarter);
    expect(choosePlace(hand('d'), others, [model])?.span).toEqual(right);
  });

  it('begins the next small stage once a small one has its pair, though the halves are single', () => {
    const quarters = model.grid.filter((span) => span.end <= left.end && span.end - span.start === 2);
    const small = { pledgeBytes: Math.max(...quarters.map(bytesOf)) };
    let others = [hand('a', on(left)), hand('b', on(right))];
    for (let i = 0; i < 12; i++) {
      const one = hand(`small ${i}`, small);
      const { span } = choosePlace(one, others, [model])!;
      others = [...others, { ...one, placed: { model: digest, span } }];
    }
    const depths = new StageCounts(others.map((one) => one.placed!.span)).depths(model.units);
    expect(Math.min(...depths)).toBe(2);
  });

  it('does not give the old stage back while another lacks its second holder', () => {
    const held = [{ model: digest, span: left }];
    const others = [hand('a', on(left)), hand('b', on(right)), hand('c', on(left))];
    expect(choosePlace(hand('d', { held }), others, [model])).toMatchObject({ span: right });
    expect(choosePlace(hand('e', { held }), [...others, hand('d', on(right))], [model])).toMatchObject({ span: left });
  });

  describe('of a new key', () => {
    const lotOf =
      (first: UnitSpan): LotOf =>
      ({ span }) =>
        span.start === first.start && span.end === first.end ? '0' : '1';
    const place = (others: readonly Hand[], first: UnitSpan, overrides: Partial<Hand> = {}) =>
      choosePlace(hand('new', { isNew: true, ...overrides }), others, [model], lotOf(first))!.span;
    const pairs = ['a', 'b'].flatMap((id) => [hand(`${id}1`, on(left)), hand(`${id}2`, on(right))]);

    it('draws it among those that need somebody about equally', () => {
      for (const span of [left, right]) expect(place(pairs, span)).toEqual(span);
      const third = [...pairs, hand('c', on(left))];
      for (const span of [left, right]) expect(place(third, span)).toEqual(span);
    });

    it('puts it where two more are missing, and first of all where somebody is missing altogether', () => {
      const four = [...pairs, hand('c', on(left)), hand('d', on(left))];
      expect(place(four, left)).toEqual(right);
      expect(place([hand('a', on(left)), hand('b', on(left))], left)).toEqual(right);
      expect(place([hand('a', on(left)), hand('b', on(left)), hand('c', on(right))], left)).toEqual(right);
    });

    it('gives it no smaller stage than it would have had', () => {
      const quarter = model.grid.find((span) => span.start === 0 && span.end < left.end)!;
      expect(place(pairs, quarter)).toEqual(left);
    });
  });

  describe('gives one network its share of a stage and no more', () => {
    const ofOne = { network: 'one' };

    it('at most half, the anchors aside', () => {
      const anchors = ['x', 'y'].flatMap((id) =>
        [left, right].map((span, i) => hand(`${id}${i}`, { ...on(span), isAnchor: true })),
      );
      let others = [...anchors, hand('far', on(right))];
      for (let i = 0; i < 12; i++) {
        const one = hand(`one ${i}`, ofOne);
        const choice = choosePlace(one, others, [model]);
        others = [...others, { ...one, placed: choice }];
      }
      for (const span of model.grid) {
        const there = others.filter(
          ({ isAnchor, placed }) => !isAnchor && placed?.span.start === span.start && placed.span.end === span.end,
        );
        const own = there.filter(({ network }) => network === 'one').length;
        expect(own <= 1 || 2 * own <= there.length).toBe(true);
      }
    });

    it('unless a gap is left', () => {
      const others = [hand('a', { ...on(left), ...ofOne }), hand('b', { ...on(left), network: 'two' })];
      expect(choosePlace(hand('c', ofOne), others, [model])?.span).toEqual(right);
      const small = hand('d', { ...ofOne, pledgeBytes: bytesOf(model.grid.at(-1)!) });
      const held = model.grid
        .filter(({ start, end }) => end - start === 1)
        .map((span, i) => hand(`${i}`, { ...on(span), ...ofOne }));
      expect(
        choosePlace(small, [...held.slice(1), hand('x', { ...on(right), network: 'two' })], [model]),
      ).not.toBeNull();
    });

    it('and says so where nothing is left for it', () => {
      const every = model.grid.flatMap((span, i) => [
        hand(`${i}`, { ...on(span), ...ofOne }),
        hand(`${i}x`, { ...on(span), network: 'two' }),
      ]);
      const idle = hand('c', { ...ofOne, pledgeBytes: 1e12 });
      expect(choosePlace(idle, every, [model])).toBeNull();
      expect(whyIdle(idle, [model])).toContain('your network');
    });

    it('but all it can hold where there is no other', () => {
      const others = ['a', 'b', 'c', 'd'].map((id, i) => hand(id, { ...on(i % 2 === 0 ? left : right), ...ofOne }));
      expect(choosePlace(hand('e', ofOne), others, [model])).not.toBeNull();
    });
  });

  it('gives the second volunteer the other half', () => {
    expect(choosePlace(hand('b'), [hand('a', on(left))], [model])).toMatchObject({ span: right });
  });

  it('gives a later volunteer the thinnest half', () => {
    const others = [hand('a', on(left)), hand('b', on(right)), hand('c', on(left))];
    expect(choosePlace(hand('d'), others, [model])?.span).toEqual(right);
  });

  it('closes a gap before it doubles what is held, even with a smaller device', () => {
    const part = model.grid.find((span) => span.start === right.start && span.end < right.end)!;
    const others = [hand('a', on(left)), hand('b', on(left)), hand('c', on(part))];
    const chosen = choosePlace(hand('d', { pledgeBytes: bytesOf(part) }), others, [model])!;
    expect(chosen.span.start).toBeGreaterThanOrEqual(part.end);
  });

  it('never gives more than the pledge holds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 * bytesOf(left) }), (pledgeBytes) => {
        const chosen = choosePlace(hand('a', { pledgeBytes }), [], [model]);
        expect(chosen === null || bytesOf(chosen.span) <= pledgeBytes).toBe(true);
      }),
    );
  });

  it('gives a reloaded volunteer its old stage back although another is as thin', () => {
    const others = [hand('a', on(left)), hand('b', on(right))];
    const held = [{ model: digest, span: right }];
    expect(choosePlace(hand('c', { held }), others, [model])).toMatchObject({ span: right });
  });

  it('does not give the old stage back while another is held by nobody', () => {
    const held = [{ model: digest, span: right }];
    expect(choosePlace(hand('c', { held }), [hand('b', on(right))], [model])?.span).toEqual(left);
  });

  it('gives a slow device less, once everything is held', () => {
    const others = [hand('a', on(left)), hand('b', on(right))];
    const chosen = choosePlace(hand('c', { layerMs: 100 }), others, [model])!;
    expect((chosen.span.end - chosen.span.start) * 100).toBeLessThanOrEqual(250);
  });

  it('gives a slow device all it can hold while layers are missing', () => {
    expect(choosePlace(hand('c', { layerMs: 100 }), [], [model])?.span).toEqual(left);
  });

  it('finishes one model before it begins another', () => {
    const models = [model, planModel(other, smallManifest({ name: 'other' }), 1, true)];
    expect(choosePlace(hand('b'), [hand('a', on(left, other))], models)).toMatchObject({ model: other, span: right });
  });

  it('never gives a stage again that failed on this device, nor a larger one', () => {
    const chosen = choosePlace(hand('a', { failed: [{ model: digest, span: left }] }), [], [model])!;
    expect(bytesOf(chosen.span)).toBeLessThan(bytesOf(left));
  });

  it.each([
    ['no model', hand('a'), [], 'no model'],
    ['another runtime', hand('a', { runtimeVersion: '1.0.0' }), [model], '1.30.0'],
    ['too small a pledge', hand('a', { pledgeBytes: 10 }), [model], 'lend more memory'],
  ])('says why there is nothing to do: %s', (_title, idle, models, words) => {
    expect(choosePlace(idle, [], models)).toBeNull();
    expect(whyIdle(idle, models)).toContain(words);
  });
});

describe('choosing moves', () => {
  it('moves nobody in a network that is whole and even', () => {
    expect(chooseMoves([hand('a', on(left)), hand('b', on(right)), hand('c', on(left))], [model])).toEqual([]);
  });

  it('moves one of two from a double half to an empty half', () => {
    const moves = chooseMoves([hand('a', on(left)), hand('b', on(left))], [model]);
    expect(moves).toHaveLength(1);
    expect(moves[0]).toMatchObject({ span: right });
  });

  it('moves one volunteer when a half has three and the other one', () => {
    const hands = [hand('a', on(left)), hand('b', on(left)), hand('c', on(left)), hand('d', on(right))];
    expect(chooseMoves(hands, [model])).toHaveLength(1);
  });

  it('moves nobody to a stage of which its network would have more than half', () => {
    const of = (id: string, span: UnitSpan, network: string) => hand(id, { ...on(span), network });
    const lefts = [of('a', left, 'one'), of('b', left, 'one'), of('c', left, 'two'), of('d', left, 'two')];
    expect(chooseMoves([...lefts, of('e', right, 'one')], [model])).toMatchObject([{ id: 'c', span: right }]);
    expect(chooseMoves([...lefts, of('e', right, 'two')], [model])).toMatchObject([{ id: 'a', span: right }]);
    const gap = [of('a', left, 'one'), of('b', left, 'one'), of('c', left, 'two')];
    expect(chooseMoves(gap, [model])).toMatchObject([{ span: right }]);
  });

  it('never moves who has sessions or was moved a moment ago', () => {
    const hands = [hand('a', { ...on(left), mayMove: false }), hand('b', { ...on(left), mayMove: false })];
    expect(chooseMoves(hands, [model])).toEqual([]);
  });

  it('moves one from a stage of its own to one that lacks a second holder', () => {
    const part = model.grid.find((span) => span.start === 0 && span.end < left.end)!;
    const hands = [hand('a', on(left)), hand('b', on(right)), hand('c', on(right)), hand('d', on(part))];
    expect(chooseMoves(hands, [model])).toMatchObject([{ id: 'd', span: left }]);
  });

  it('takes nobody from a pair to make up another', () => {
    const hands = [hand('a', on(left)), hand('b', on(right)), hand('c', on(right))];
    expect(chooseMoves(hands, [model])).toEqual([]);
  });

  it('takes nobody from a pair to even out what others hold, but to hold a model that nobody holds', () => {
    const second = planModel(other, smallManifest({ name: 'other' }), 1, true);
    const pairs = [hand('a', on(left)), hand('b', on(right)), hand('c', on(left)), hand('d', on(right))];
    expect(chooseMoves(pairs, [model, second])).toMatchObject([{ model: other }]);
    const singles = [hand('e', on(left, other)), hand('f', on(right, other))];
    expect(chooseMoves([...pairs, ...singles], [model, second])).toEqual([]);
  });

  it('evens nothing out while somebody is loading', () => {
    const hands = [
      hand('a', on(left)),
      hand('b', on(left)),
      hand('c', on(left)),
      hand('d', { ...on(right), isReady: false }),
    ];
    expect(chooseMoves(hands, [model])).toEqual([]);
  });
});

describe('a network where volunteers come and go', () => {
  it('holds every layer whenever its devices could, and moves are rare', () => {
    const step = fc.record({ leaves: fc.boolean(), which: fc.nat(), units: fc.integer({ min: 1, max: 6 }) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
        const network = new Network(model);
        for (const [i, { leaves, which, units }] of steps.entries()) {
          if (leaves && network.hands.length > 0) network.leave(which % network.hands.length);
          else network.join(`v${i}`, bytesOf({ start: 1, end: 1 + units }));
          network.settle();
          if (network.couldBeWhole()) expect(network.missing()).toBe(0);
        }
        expect(network.moves).toBeLessThanOrEqual(steps.length);
      }),
      { numRuns: 200, seed: 7 },
    );
  });

  it('needs few moves for a hundred volunteers of random sizes', () => {
    const network = new Network(model);
    const random = fc.sample(fc.integer({ min: 1, max: 6 }), { numRuns: 100, seed: 3 });
    random.forEach((units, i) => {
      network.join(`v${i}`, bytesOf({ start: 1, end: 1 + units }));
      network.settle();
    });
    expect(network.missing()).toBe(0);
    expect(network.leastDepth()).toBeGreaterThanOrEqual(3);
    expect(network.moves).toBeLessThanOrEqual(10);
  });
});

/** Carries out what placement says, as the volunteer desk does, with every load a success. */
class Network {
  readonly #model: PlannedModel;
  hands: Hand[] = [];
  moves = 0;

  constructor(planned: PlannedModel) {
    this.#model = planned;
  }

  join(id: string, pledgeBytes: number): void {
    const newcomer = hand(id, { pledgeBytes });
    const choice = choosePlace(newcomer, this.hands, [this.#model]);
    this.hands = [...this.hands, { ...newcomer, placed: choice }];
  }

  leave(index: number): void {
    this.hands = this.hands.filter((_, i) => i !== index);
  }

  settle(): void {
    for (let round = 0; ; round++) {
      const moves = chooseMoves(this.hands, [this.#model]);
      if (moves.length === 0) return;
      if (round > 20) throw new Error('placement does not come to rest');
      this.moves += moves.length;
      for (const move of moves) {
        this.hands = this.hands.map((one) =>
          one.id === move.id ? { ...one, placed: { model: move.model, span: move.span } } : one,
        );
      }
    }
  }

  missing(): number {
    return coverageOf(
      this.hands.flatMap((one) => (one.placed ? [one.placed.span] : [])),
      this.#model.units,
    ).filter((count) => count === 0).length;
  }

  leastDepth(): number {
    const spans = this.hands.flatMap((one) => (one.placed ? [one.placed.span] : []));
    return Math.min(...new StageCounts(spans).depths(this.#model.units));
  }

  /** True if the devices, the largest first, each with the largest span that is still free, hold the model. */
  couldBeWhole(): boolean {
    const spans: UnitSpan[] = [];
    for (const one of [...this.hands].sort((a, b) => b.pledgeBytes - a.pledgeBytes)) {
      const coverage = coverageOf(spans, this.#model.units);
      const gain = (span: UnitSpan): number =>
        coverage.slice(span.start, span.end).filter((count) => count === 0).length;
      const fitting = this.#model.grid.filter((span) => bytesOf(span) <= one.pledgeBytes);
      const best = fitting.sort((a, b) => gain(b) - gain(a))[0];
      if (best) spans.push(best);
    }
    return !coverageOf(spans, this.#model.units).includes(0);
  }
}
