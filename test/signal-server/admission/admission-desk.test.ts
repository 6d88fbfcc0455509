import { beforeEach, describe, expect, it } from 'vitest';
import type { ChorusError } from '#shared/errors.ts';
import { WORK_PUZZLES } from '#shared/limits.ts';
import { AdmissionDesk } from '../../../signal-server/admission/admission-desk.ts';
import type { WorkCheck } from '../../../signal-server/admission/check-message.ts';
import { epochOf } from '../../../signal-server/admission/work-seeds.ts';
import { parseConfig } from '../../../signal-server/machine/config.ts';
import type { DeskMessage, ToPeer } from '../../../signal-server/peer-router/control-router.ts';
import { Registry, type Member } from '../../../signal-server/placement/registry.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';

const HOUR_MS = 60 * 60_000;
const ready: DeskMessage = { type: 'ready', assignment: 1, layerMs: 1, probeError: 0 };
const nonces = Array.from({ length: WORK_PUZZLES }, (_, puzzle) => 10 * puzzle);

describe('a key that nobody knows', () => {
  let clock: FakeClock;
  let registry: Registry;
  let desk: AdmissionDesk;
  let sent: [string, ToPeer][];
  let counted: [string, string][];
  let asked: WorkCheck[];
  let isRight: boolean;
  let own: Set<string>;

  beforeEach(() => open());

  function open(tries = 32): void {
    clock = new FakeClock();
    registry = new Registry(clock);
    [sent, counted, asked, isRight, own] = [[], [], [], true, new Set()];
    const { limits, times } = parseConfig({ limits: { unprovenPerAddress: 2, unproven: 3 } });
    desk = new AdmissionDesk({
      ...{ clock, limits, times, tries },
      seedOf: Promise.resolve((id, epoch) => new Uint8Array(32).fill(id.charCodeAt(0) + epoch)),
      checks: {
        check: (_client, check) => {
          asked.push(check);
          return Promise.resolve(isRight);
        },
      },
      drawBelow: (count) => count - 1,
      send: ({ id }, message) => sent.push([id[0]!, message]),
      isOwn: (id) => own.has(id),
      onAdmitted: ({ id }, { type }) => counted.push([id[0]!, type]),
      onError: (error) => {
        throw error;
      },
    });
  }

  const settled = () => clock.advance(0);
  const join = (key: string, client = key): Member => registry.join(idOf(key), 'tab', 'prefix', 1, client);
  const typesTo = (key: string) => sent.filter(([id]) => id === key).map(([, { type }]) => type);
  const show = async (member: Member, change: { epoch?: number; nonces?: number[] } = {}) => {
    desk.receive(member, { type: 'worked', epoch: epochOf(clock.wallMs()), nonces, ...change });
    await settled();
  };
  const codeOf = (act: () => void) => {
    try {
      act();
      return null;
    } catch (error) {
      return (error as ChorusError).code;
    }
  };

  it('loads its stage while it does its work, and is not ready before that was shown', async () => {
    const member = join('1');
    expect(desk.lets(member, offerOf())).toBe(true);
    expect(desk.lets(member, ready)).toBe(false);
    await settled();
    expect(typesTo('1')).toEqual(['work']);
    await show(member);
    expect(typesTo('1')).toEqual(['work', 'admitted']);
    expect(counted).toEqual([['1', 'ready']]);
    expect(desk.lets(member, ready)).toBe(true);
  });

  it('is checked by a few puzzles, drawn when the work has come, with the seed of key and hour', async () => {
    const member = join('1');
    desk.lets(member, offerOf());
    await show(member);
    const epoch = epochOf(clock.wallMs());
    expect(asked).toMatchObject([
      {
        tries: 32,
        shown: [
          { puzzle: 7, nonce: 70 },
          { puzzle: 6, nonce: 60 },
        ],
      },
    ]);
    expect(asked[0]!.seed).toEqual(new Uint8Array(32).fill('1'.charCodeAt(0) + epoch));
  });

  it('waits for its work to be shown where its address, or the network, has others under way', async () => {
    const members = ['1', '2', '3', '4', '5'].map((key) => join(key, key < '4' ? 'school' : key));
    expect(members.map((member) => desk.lets(member, offerOf()))).toEqual([true, true, false, true, false]);
    await settled();
    expect(typesTo('3')).toEqual(['idle', 'work']);
    await show(members[2]!);
    expect(counted).toEqual([['3', 'offer']]);
  });

  it('counts as what it said last: a pause takes an offer back, another offer what was ready', async () => {
    const [first, second, third] = ['1', '2', '3'].map((key) => join(key, 'school'));
    for (const member of [first!, second!, third!]) desk.lets(member, offerOf());
    desk.lets(first!, ready);
    desk.lets(first!, offerOf());
    expect(desk.lets(third!, { type: 'pause' })).toBe(true);
    await show(first!);
    await show(third!);
    expect(counted).toEqual([]);
  });

  it('proves nothing anew in its hour and the next, on whatever connection it comes', async () => {
    const member = join('1');
    desk.lets(member, offerOf());
    await show(member);
    desk.left(member);
    await clock.advance(HOUR_MS);
    expect(desk.lets(join('1'), offerOf())).toBe(true);
    expect(typesTo('1')).toEqual(['work', 'admitted']);
    await clock.advance(HOUR_MS);
    desk.lets(join('1'), offerOf());
    await settled();
    expect(typesTo('1')).toEqual(['work', 'admitted', 'work']);
  });

  it('has its work taken that comes after its connection ended', async () => {
    const member = join('1');
    desk.lets(member, offerOf());
    desk.receive(member, { type: 'worked', epoch: epochOf(clock.wallMs()), nonces });
    desk.left(member);
    await settled();
    expect(desk.lets(join('1'), ready)).toBe(true);
    expect(typesTo('1')).not.toContain('admitted');
  });

  it('shows nothing more on a connection that lasts', async () => {
    const member = join('1');
    desk.lets(member, offerOf());
    await show(member);
    await clock.advance(5 * HOUR_MS);
    expect([desk.lets(member, offerOf()), desk.lets(member, ready)]).toEqual([true, true]);
    expect(typesTo('1')).toEqual(['work', 'admitted']);
  });

  it('that shows its work again on a new connection, while the first is looked at, is no fault', async () => {
    const before = join('1');
    desk.lets(before, offerOf());
    const worked = { type: 'worked', epoch: epochOf(clock.wallMs()), nonces } as const;
    desk.receive(before, worked);
    desk.left(before);
    const again = join('1');
    desk.lets(again, offerOf());
    desk.lets(again, ready);
    await settled();
    desk.receive(again, worked);
    expect(counted).toEqual([['1', 'ready']]);
  });

  it('shows nothing where it is the server’s own, or no work is asked for', async () => {
    own.add(idOf('1'));
    expect(desk.lets(join('1'), ready)).toBe(true);
    open(0);
    expect(desk.lets(join('2'), ready)).toBe(true);
    await settled();
    expect(sent).toEqual([]);
  });

  it('loses its connection for false work, and its address is not heard after some of that', async () => {
    isRight = false;
    for (const key of ['1', '2', '3', '4']) {
      const member = join(key, 'hostile');
      desk.lets(member, offerOf());
      await show(member);
      expect(sent.at(-1)).toMatchObject([key, { type: 'error', code: 'bad-message' }]);
    }
    const [again, neighbour] = [join('5', 'hostile'), join('6', 'neighbour')];
    for (const member of [again, neighbour]) desk.lets(member, offerOf());
    const epoch = epochOf(clock.wallMs());
    expect(codeOf(() => desk.receive(again, { type: 'worked', epoch, nonces }))).toBe('rate-limited');
    expect(asked).toHaveLength(4);
    isRight = true;
    await show(neighbour);
    await clock.advance(60_000);
    await show(again);
    expect([typesTo('5').at(-1), typesTo('6').at(-1)]).toEqual(['admitted', 'admitted']);
  });

  it('loses it for work that nobody asked for, that is of an hour to come, or that is shown twice', () => {
    const [stranger, hasty, twice] = ['1', '2', '3'].map((key) => join(key));
    const epoch = epochOf(clock.wallMs());
    for (const member of [hasty!, twice!]) desk.lets(member, offerOf());
    expect(codeOf(() => desk.receive(stranger!, { type: 'worked', epoch, nonces }))).toBe('bad-message');
    expect(codeOf(() => desk.receive(hasty!, { type: 'worked', epoch: epoch + 1, nonces }))).toBe('bad-message');
    desk.receive(twice!, { type: 'worked', epoch, nonces });
    expect(codeOf(() => desk.receive(twice!, { type: 'worked', epoch, nonces }))).toBe('bad-message');
  });

  it('is asked anew where its work took longer than the hours that it counts in', async () => {
    const member = join('1');
    desk.lets(member, offerOf());
    await show(member, { epoch: epochOf(clock.wallMs()) - 2 });
    expect(typesTo('1')).toEqual(['work', 'work']);
    expect(asked).toEqual([]);
  });

  it('is let go when it shows nothing in time, and its place is another’s', async () => {
    const members = ['1', '2', '3'].map((key) => join(key, 'school'));
    for (const member of members) desk.lets(member, offerOf());
    await clock.advance(2 * 60_000);
    expect(sent.filter(([, { type }]) => type === 'error')).toHaveLength(3);
    expect(desk.lets(join('4', 'school'), offerOf())).toBe(true);
  });
});
