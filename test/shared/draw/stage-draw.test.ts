import { describe, expect, it } from 'vitest';
import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '#shared/bytes.ts';
import { SeededNumbers } from '#shared/draw/order.ts';
import { makeStageDraw, replicasOf, type MadeStage } from '#shared/draw/make-draw.ts';
import { classMs, keepsUp, speedClassOf } from '#shared/draw/speed-class.ts';
import { drawStage, STEADY_SHARE, SURPLUS_SHARE, type Seen, type StageWish } from '#shared/draw/stage-draw.ts';
import type { PeerId } from '#shared/ids.ts';
import {
  DrawnNetwork,
  MODEL,
  RANGES,
  SeededKey,
  seededVolunteer,
  type SeededVolunteer,
} from '../../support/drawn-routes.ts';
import { repetitions } from '../../support/effort.ts';

const STRANGER = 'f'.repeat(64) as PeerId;
const ONE_KEY = new SeededKey('one');

/** A volunteer whose key signs nothing here, so that many cost little. */
function volunteer(name: string, network: string, facts: Parameters<typeof seededVolunteer>[2] = {}): SeededVolunteer {
  const made = seededVolunteer(name, network, facts, ONE_KEY);
  const id = Buffer.from(sha256(utf8(name))).toString('hex') as PeerId;
  return { ...made, entry: { ...made.entry, member: { ...made.entry.member, id } } };
}

class Stage {
  readonly #network: DrawnNetwork;

  constructor(volunteers: readonly SeededVolunteer[]) {
    this.#network = new DrawnNetwork('stage', [volunteers, []]);
  }

  /** As `draw`, without a record. */
  replicas(number: number): readonly Seen[] {
    const { pools } = this.#network.roster.section(MODEL, RANGES[0]!)!;
    const drawn = drawStage(this.#wish(number), {
      networks: (pool) => pools[pool].networks.length,
      open(pool, index, place) {
        const { network, members } = pools[pool].networks[index]!;
        return { network, members: members.length, member: members[place(members.length)]! };
      },
      isSkipped: () => false,
    });
    return replicasOf(drawn!);
  }

  #wish(number: number): StageWish {
    return {
      ...{ output: sha256(utf8(`${number}`)), stage: 0, range: RANGES[0]!, requester: STRANGER },
      ...{ shadows: 1, networks: new Set<string>() },
    };
  }

  draw(number: number, wish: Partial<StageWish> = {}, gone: ReadonlySet<string> = new Set()): MadeStage {
    const drawn = makeStageDraw(
      this.#network.roster,
      this.#network.roster.section(MODEL, RANGES[0]!)!,
      { ...this.#wish(number), ...wish },
      ({ id }) => (gone.has(id) ? { reason: 'gone' } : null),
    );
    if (typeof drawn === 'string') throw new Error(drawn);
    return drawn;
  }
}

/** Four standard deviations of a share that is seen in so many draws. */
const spread = (share: number, times: number): number => 4 * Math.sqrt((share * (1 - share)) / times);

const nameOf = (name: string): string => Buffer.from(sha256(utf8(name))).toString('hex');

describe('numbers of a seed', () => {
  it('shuffle as far as they are asked, each number once, every order alike', () => {
    const counts = new Map<string, number>();
    const times = 600;
    for (let i = 0; i < times; i++) {
      const order = [...new SeededNumbers(utf8(`${i}`), 'order').shuffled(3)];
      expect(order.toSorted()).toEqual([0, 1, 2]);
      counts.set(order.join(''), (counts.get(order.join('')) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count / times - 1 / 6)).toBeLessThan(spread(1 / 6, times));
  });

  it('are others for another use of the same seed', () => {
    const first = new SeededNumbers(utf8('seed'), 'a').uniform();
    expect(new SeededNumbers(utf8('seed'), 'a').uniform()).toBe(first);
    expect(new SeededNumbers(utf8('seed'), 'b').uniform()).not.toBe(first);
  });
});

describe('a speed class', () => {
  it('holds times that differ by less than a fifth, and is never quicker than its volunteer', () => {
    for (const ms of [1, 3, 12, 35, 400]) {
      expect(classMs(speedClassOf(ms))).toBeGreaterThanOrEqual(ms);
      expect(classMs(speedClassOf(ms))).toBeLessThan(1.2 * ms);
    }
  });

  it('keeps up at twice the quickest’s time, and beside sessions at less', () => {
    const fastest = speedClassOf(100);
    expect(keepsUp(speedClassOf(200), fastest, 2)).toBe(true);
    expect(keepsUp(speedClassOf(300), fastest, 2)).toBe(false);
    expect(keepsUp(fastest, fastest, 2, 1)).toBe(true);
    expect(keepsUp(fastest, fastest, 2, 2)).toBe(false);
  });
});

describe('the draw of a stage', () => {
  it('gives a network one chance, however many keys it has', () => {
    const many = Array.from({ length: 90 }, (_, i) => volunteer(`many ${i}`, 'one network'));
    const others = Array.from({ length: 9 }, (_, i) => volunteer(`other ${i}`, `network ${i}`));
    const stage = new Stage([...many, ...others]);
    const ids = new Set(many.map(({ entry }) => entry.member.id));
    const times = 300;
    let led = 0;
    for (let i = 0; i < times; i++) {
      const drawn = stage.replicas(i);
      if (ids.has(drawn[0]!.member.id)) led += 1;
      expect(new Set(drawn.map(({ network }) => network)).size).toBe(drawn.length);
    }
    expect(Math.abs(led / times - 0.1)).toBeLessThan(spread(0.1, times));
  });

  it('takes no primary that is much slower than the quickest, and none of an unmeasured class beside an exact one', () => {
    const stage = new Stage([
      volunteer('quick', 'a', { speed: speedClassOf(100) }),
      volunteer('slow', 'b', { speed: speedClassOf(300) }),
      volunteer('unknown', 'c', { speed: speedClassOf(100), isMeasured: false, isProven: false }),
    ]);
    for (let i = 0; i < 40; i++) expect(stage.draw(i).primary.member.id).toBe(nameOf('quick'));
  });

  it('gives a primary that has not proven itself two shadows, one of which has', () => {
    const stage = new Stage([
      ...Array.from({ length: 6 }, (_, i) => volunteer(`new ${i}`, `new ${i}`, { isProven: false })),
      volunteer('proven', 'proven'),
    ]);
    let led = 0;
    for (let i = 0; i < 60; i++) {
      const { primary, shadows } = stage.draw(i);
      if (primary.member.isProven) continue;
      led += 1;
      expect(shadows).toHaveLength(2);
      expect(shadows.some(({ member }) => member.isProven)).toBe(true);
    }
    expect(led).toBeGreaterThan(20);
  });

  it('checks by the slow where there is nobody else, and never has one of them for one more than there should be', () => {
    const slow = { speed: speedClassOf(2_000) };
    const quick = { speed: speedClassOf(100) };
    const alone = new Stage([volunteer('quick', 'a', quick), volunteer('slow', 'b', slow)]);
    const some = new Stage([volunteer('q', 'a', quick), volunteer('r', 'b', quick), volunteer('slow', 'c', slow)]);
    const slowOne = nameOf('slow');
    for (let i = 0; i < 40; i++) {
      expect(alone.draw(i).shadows.map(({ member }) => member.id)).toEqual([slowOne]);
      expect(replicasOf(some.draw(i)).some(({ member }) => member.id === slowOne)).toBe(false);
    }
  });

  it('has a slow shadow that has proven itself sooner than a fast one that has not, and of another network than a fast one', () => {
    const [slow, quick] = [{ speed: speedClassOf(2_000) }, { speed: speedClassOf(100), isProven: false }];
    const young = new Stage([
      ...[0, 1, 2, 3].map((i) => volunteer(`new ${i}`, `n ${i}`, quick)),
      ...[0, 1, 2].map((i) => volunteer(`slow ${i}`, `s ${i}`, { ...slow, isProven: i === 0 })),
    ]);
    const net = new Stage([
      ...[0, 1].map((i) => volunteer(`same ${i}`, 'same', { speed: speedClassOf(100) })),
      volunteer('slow', 'other', slow),
    ]);
    for (let i = 0; i < 20; i++) {
      const { primary, shadows } = young.draw(i);
      expect(primary.member.isProven).toBe(false);
      expect(shadows.map(({ member }) => [member.isProven, member.speed === slow.speed])).toEqual([
        [true, true],
        [false, false],
      ]);
      expect(net.draw(i).shadows[0]!.network).not.toBe(net.draw(i).primary.network);
    }
  });

  it('does not have the new lead where they could not be watched as they should', () => {
    const stage = new Stage([volunteer('new', 'a', { isProven: false }), volunteer('proven', 'b')]);
    for (let i = 0; i < 20; i++) expect(stage.draw(i).primary.member.isProven).toBe(true);
  });

  it('has a steady replica in at least its share of stages, and now and then one shadow more', () => {
    const stage = new Stage(Array.from({ length: 40 }, (_, i) => volunteer(`v ${i}`, `n ${i}`, { isSteady: i === 0 })));
    const times = 400;
    let [steady, surplus] = [0, 0];
    for (let i = 0; i < times; i++) {
      const drawn = stage.replicas(i);
      if (drawn.some(({ member }) => member.isSteady)) steady += 1;
      if (drawn.length === 3) surplus += 1;
    }
    // Where it need not be, it is by chance: one of forty, for the primary and for a shadow.
    const share = STEADY_SHARE + ((1 - STEADY_SHARE) * (2 + SURPLUS_SHARE)) / 40;
    expect(Math.abs(steady / times - share)).toBeLessThan(spread(share, times));
    expect(Math.abs(surplus / times - SURPLUS_SHARE)).toBeLessThan(spread(SURPLUS_SHARE, times));
  });

  it('takes a network twice only where there is no other', () => {
    const pair = new Stage([volunteer('a', 'same'), volunteer('b', 'same')]);
    expect(replicasOf(pair.draw(1))).toHaveLength(2);
    const three = new Stage([volunteer('a', 'same'), volunteer('b', 'same'), volunteer('c', 'other')]);
    for (let i = 0; i < 30; i++) {
      const [primary, shadow] = replicasOf(three.draw(i));
      expect(shadow!.network).not.toBe(primary!.network);
    }
  });

  it('keeps off the networks of earlier primaries, and the requester itself', () => {
    const stage = new Stage([volunteer('a', 'one'), volunteer('b', 'two'), volunteer('c', 'three')]);
    for (let i = 0; i < 30; i++) {
      const taken = stage.draw(i).primary;
      const again = stage.draw(i, { networks: new Set([taken.network]) });
      expect(again.primary.network).not.toBe(taken.network);
      const requester = taken.member.id;
      expect(replicasOf(stage.draw(i, { requester })).every(({ member }) => member.id !== requester)).toBe(true);
    }
  });

  it('draws nobody whom the server skips, and records each look', () => {
    const stage = new Stage(Array.from({ length: 8 }, (_, i) => volunteer(`v ${i}`, `n ${i}`)));
    for (let i = 0; i < 30; i++) {
      const first = stage.draw(i).primary.member.id;
      const { primary, record } = stage.draw(i, {}, new Set([first]));
      expect(primary.member.id).not.toBe(first);
      expect(record.looks[0]).toMatchObject({ id: first, skip: { reason: 'gone' } });
    }
  });

  it(
    'meets a hostile operator’s volunteers as often as their share of the networks says',
    () => {
      const times = repetitions(400, 100_000);
      const hostile = Array.from({ length: 50 }, (_, i) => volunteer(`hostile ${i}`, `h ${i}`));
      const honest = Array.from({ length: 450 }, (_, i) => volunteer(`honest ${i}`, `n ${i}`));
      const stage = new Stage([...hostile, ...honest]);
      const ids = new Set(hostile.map(({ entry }) => entry.member.id));
      let [primaries, pairs] = [0, 0];
      for (let i = 0; i < times; i++) {
        const [primary, ...shadows] = stage.replicas(i);
        if (!ids.has(primary!.member.id)) continue;
        primaries += 1;
        if (shadows.every(({ member }) => ids.has(member.id))) pairs += 1;
      }
      // A tenth are primary, and of a hundred pairs not one is theirs alone.
      expect(Math.abs(primaries / times - 0.1)).toBeLessThan(spread(0.1, times));
      expect(pairs / times).toBeLessThan(0.01 + spread(0.01, times));
    },
    repetitions(60_000, 1_200_000),
  );
});
