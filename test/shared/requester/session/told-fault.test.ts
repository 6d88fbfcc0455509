import { describe, expect, it } from 'vitest';
import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { REFUSAL_WAIT_MS } from '#shared/limits.ts';
import type { CheckHost } from '#shared/requester/session/session-check.ts';
import { CONTRADICTION, readFault } from '#shared/requester/session/told-fault.ts';
import { lossBy, ToldFaults } from '#shared/requester/session/told-faults.ts';
import type { Route } from '#shared/route/route.ts';
import { shadowedRoute } from '../../../support/check-driver.ts';
import { toyIdentity, ToyNetwork } from '../../../support/toy-network.ts';

const route: Route = shadowedRoute(new ToyNetwork(2), toyIdentity('requester').id);
const primaries = route.stages.map(({ primary }) => primary.id);
const shadows = route.stages.map((stage) => stage.shadows[0]!.id);
const stranger = toyIdentity('stranger').id;

function told(from: PeerId, stage: number, volunteer: PeerId | null, code: ErrorCode = 'bad-message') {
  return readFault(from, { type: 'fault', session: route.session, stage, code, message: 'why', volunteer }, route);
}

const error = new ChorusError('bad-message', 'why');

describe('a fault', () => {
  it.each([
    ['who it names', primaries[2]!, primaries[2]!],
    ['the stage it comes from where it names nobody', null, primaries[1]!],
    ['the stage it comes from where it names nobody of the route', stranger, primaries[1]!],
  ])('that the first volunteer passes on is held against %s', (_, volunteer, blamed) => {
    expect(told(primaries[0]!, 1, volunteer)).toEqual({ type: 'lost', error, blamed: [blamed], told: primaries[0] });
  });

  it('of a stage that there is not is held against the first volunteer', () => {
    expect(told(primaries[0]!, 7, null)).toEqual({ type: 'lost', error, blamed: [primaries[0]] });
  });

  it('at the end of a lease is nobody’s', () => {
    expect(told(primaries[0]!, 1, null, 'timeout')).toMatchObject({ type: 'lost', blamed: [] });
    expect(told(primaries[0]!, 1, primaries[1]!, 'timeout')).toMatchObject({ type: 'lost', blamed: [primaries[1]] });
  });

  it('of another primary waits for the first one to tell it', () => {
    expect(told(primaries[1]!, 1, primaries[1]!)).toBeNull();
  });

  it('of a shadow means that it has left', () => {
    expect(told(shadows[1]!, 1, shadows[1]!)).toEqual({ type: 'shadow-left' });
    expect(told(shadows[1]!, 1, null)).toEqual({ type: 'shadow-left' });
  });

  it('against the stage before is a refusal, by whoever was sent its rows', () => {
    const refusal = { type: 'refusal', stage: 1, error };
    const [receiver, isHearsay] = [primaries[1], true];
    expect(told(primaries[0]!, 1, primaries[0]!)).toEqual({ ...refusal, receiver, isHearsay });
    expect(told(primaries[1]!, 1, primaries[0]!)).toEqual({ ...refusal, receiver, isHearsay: false });
    expect(told(shadows[1]!, 1, primaries[0]!)).toEqual({ ...refusal, receiver: shadows[1], isHearsay: false });
    // A shadow knows nothing of another stage.
    expect(told(shadows[1]!, 2, primaries[1]!)).toEqual({ type: 'shadow-left' });
  });
});

describe('a refusal', () => {
  const [sender, receiver, shadow] = [primaries[0]!, primaries[1]!, shadows[1]!];

  it('by one primary costs the session, and both are left out for it', () => {
    const loss = lossBy({ stage: 1, sender, receivers: [receiver], error }, route);
    expect(loss).toMatchObject({ type: 'lost', error: { message: CONTRADICTION }, blamed: [receiver, sender] });
  });

  it('by one shadow does not', () => {
    expect(lossBy({ stage: 1, sender, receivers: [shadow], error }, route)).toBeNull();
  });

  it('by two is the sender’s fault alone', () => {
    const loss = lossBy({ stage: 1, sender, receivers: [shadow, receiver], error }, route);
    expect(loss).toEqual({ type: 'lost', error, blamed: [sender] });
  });
});

describe('refusals that are due at once', () => {
  it('are told one after the other, so that the first is dealt with before the next ends the session', () => {
    const events: string[] = [];
    const host = {
      session: { route, length: 40 },
      nowMs: 0,
      tell: ({ type }: { readonly type: string }) => events.push(type),
    } as unknown as CheckHost;
    const faults = new ToldFaults(host);
    const say = (from: PeerId, stage: number, volunteer: PeerId) =>
      faults.take(from, {
        type: 'fault',
        session: route.session,
        stage,
        code: 'bad-message',
        message: 'why',
        volunteer,
      });
    expect([say(shadows[1]!, 1, primaries[0]!), say(primaries[2]!, 2, primaries[1]!)]).toEqual(['refusal', 'refusal']);
    Object.assign(host, { nowMs: REFUSAL_WAIT_MS });
    for (const shadow of faults.refusing()) events.push(`${shadow} is dropped`);
    expect(events).toEqual([`${shadows[1]!} is dropped`, 'lost']);
  });
});
