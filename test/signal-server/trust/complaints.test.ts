import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { Complaints } from '../../../signal-server/trust/complaints.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';

const [volunteer, other] = [idOf('1'), idOf('2')];
const [alice, bob, carol] = [idOf('a'), idOf('b'), idOf('c')];
const [session, another] = ['0', '1'].map((digit) => digit.repeat(32)) as [SessionId, SessionId];

describe('complaints without a proof', () => {
  let clock: FakeClock;
  let heard: PeerId[];
  let proven: Set<PeerId>;
  let complaints: Complaints;

  beforeEach(() => {
    clock = new FakeClock();
    [heard, proven] = [[], new Set()];
    const prefixes = new Map([
      [alice, 'home'],
      [bob, 'home'],
    ]);
    complaints = new Complaints({
      clock,
      isProven: (_, id) => proven.has(id),
      prefixOf: (requester) => prefixes.get(requester) ?? null,
      onComplaint: (id) => heard.push(id),
      limits: { complaints: { perSecond: 1 / 60, burst: 2 } },
    });
  });

  it('are passed on, for the server to look for itself', () => {
    complaints.hear(alice, session, volunteer);
    complaints.hear(bob, session, other);
    expect(heard).toEqual([volunteer, other]);
  });

  it('are heard from one address prefix as often as its limit says, whatever number of keys complain', async () => {
    for (let i = 0; i < 3; i++) for (const requester of [alice, bob]) complaints.hear(requester, session, volunteer);
    expect(heard).toHaveLength(2);
    complaints.hear(carol, session, other);
    expect(heard.at(-1)).toBe(other);
    await clock.advance(60_000);
    for (const requester of [alice, bob]) complaints.hear(requester, session, volunteer);
    expect(heard).toHaveLength(4);
  });

  it('of what a proof has shown are not heard, and take no room', () => {
    proven.add(volunteer);
    for (let i = 0; i < 5; i++) complaints.hear(alice, session, volunteer);
    expect(heard).toEqual([]);
    complaints.hear(alice, session, other);
    expect(heard).toEqual([other]);
  });

  it('of a requester’s own key are not heard', () => {
    complaints.hear(alice, session, alice);
    expect(heard).toEqual([]);
  });

  it('of a volunteer that could not be reached are heard where several sessions say so, not one alone', () => {
    complaints.unreached(alice, session, volunteer);
    complaints.unreached(alice, session, volunteer);
    complaints.unreached(carol, another, other);
    expect(heard).toEqual([]);
    complaints.unreached(carol, another, volunteer);
    expect(heard).toEqual([volunteer]);
    // The next one begins anew.
    complaints.unreached(alice, session, volunteer);
    expect(heard).toHaveLength(1);
  });

  it('of a link that was lost long ago do not count', async () => {
    complaints.unreached(alice, session, volunteer);
    await clock.advance(11 * 60_000);
    complaints.unreached(carol, another, volunteer);
    expect(heard).toEqual([]);
  });

  it('go on being bounded where the quiet ones are forgotten', async () => {
    for (let i = 0; i < 2; i++) complaints.hear(alice, session, volunteer);
    complaints.prune();
    complaints.hear(bob, session, volunteer);
    expect(heard).toHaveLength(2);
    await clock.advance(61 * 60_000);
    complaints.prune();
    for (let i = 0; i < 3; i++) complaints.hear(bob, session, volunteer);
    expect(heard).toHaveLength(4);
  });
});
