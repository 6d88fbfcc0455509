import { beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import { Registry, type Member, type RegisteredVolunteer } from '../../../signal-server/placement/registry.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const id = '1'.repeat(64) as PeerId;
const place = { model: 'a'.repeat(64) as Digest, span: { start: 0, end: 5 } };

describe('the registry', () => {
  let clock: FakeClock;
  let registry: Registry;
  let member: Member;
  let volunteer: RegisteredVolunteer;

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    member = registry.join(id, 'tab', 'loopback', 1);
    volunteer = registry.offer(member, offerOf());
  });

  it('makes a volunteer ready when it says so for the assignment it has', () => {
    const { number } = registry.assign(volunteer, place);
    expect(volunteer.state).toBe('loading');
    expect(registry.ready(volunteer, { assignment: number, layerMs: 2 })).toBe(true);
    expect(volunteer).toMatchObject({ state: 'ready', layerMs: 2 });
  });

  it('knows a volunteer by the class that its stage came to, where that is another than was offered', () => {
    const { number } = registry.assign(volunteer, place);
    registry.ready(volunteer, { assignment: number, layerMs: 2, numericClass: 'int16/0123456789abcdef' });
    expect(volunteer.offer.numericClass).toBe('int16/0123456789abcdef');
  });

  it('ignores ready and failed for an assignment that was replaced', () => {
    const { number } = registry.assign(volunteer, place);
    registry.assign(volunteer, place);
    expect(registry.ready(volunteer, { assignment: number, layerMs: 2 })).toBe(false);
    expect(registry.failed(volunteer, number, null)).toBe(false);
    expect(volunteer.state).toBe('loading');
  });

  it('never gives two assignments the same number', () => {
    const numbers = [registry.assign(volunteer, place).number, registry.assign(volunteer, place).number];
    expect(new Set(numbers).size).toBe(2);
  });

  it('remembers in one sitting what could not be loaded, and forgets it with the next offer', () => {
    const { number } = registry.assign(volunteer, place);
    registry.failed(volunteer, number, 'computes wrongly');
    expect(volunteer).toMatchObject({ state: 'idle', barred: 'computes wrongly', failed: [place] });
    expect(registry.offer(member, offerOf())).toMatchObject({ barred: null, failed: [] });
  });

  it('takes the work from a paused volunteer, who stays a volunteer', () => {
    registry.assign(volunteer, place);
    registry.pause(volunteer);
    expect(member.volunteer).toMatchObject({ state: 'paused', assignment: null });
  });

  it('counts a move only when there was work before', async () => {
    await clock.advance(5);
    registry.assign(volunteer, place);
    expect(volunteer.movedAtMs).toBe(-Infinity);
    registry.assign(volunteer, place);
    expect(volunteer.movedAtMs).toBe(5);
  });
});
