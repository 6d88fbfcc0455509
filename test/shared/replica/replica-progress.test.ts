import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { PeerMessage, ProgressedMessage } from '#shared/wire/peer-message.ts';
import { CheckDriver, toyPrompt } from '../../support/check-driver.ts';
import { ToyNetwork } from '../../support/toy-network.ts';

let network: ToyNetwork;
let driver: CheckDriver;

beforeEach(() => {
  network = new ToyNetwork(2);
  driver = new CheckDriver(network);
});

const question = (): PeerMessage => ({ type: 'progress', session: driver.session, nonce: 9 });

/** What this replica answers to a question of `by` within 5 ms. */
async function progressOf(peer: PeerId, by = driver): Promise<Partial<ProgressedMessage>> {
  await by.say(peer, [question()], 5);
  const { step, received, sent, nonce } = by.from(peer).findLast((each) => each.type === 'progressed')!;
  expect(nonce).toBe(9);
  return { step, received, sent };
}

describe('a replica that is asked for its progress', () => {
  it('tells how many rows messages came in and were passed on, cuts or not', async () => {
    await driver.open();
    await driver.feed(toyPrompt(70));
    for (const peer of driver.primaries) {
      expect(await progressOf(peer)).toEqual({ step: 'open', received: 3, sent: 3 });
    }
    expect(await progressOf(driver.shadows[1]!)).toEqual({ step: 'open', received: 3, sent: 0 });
  });

  it('answers at once where compute is busy, with what is there', async () => {
    await driver.open();
    await driver.feed(toyPrompt(20));
    const busy = network.of(1)[0]!;
    busy.compute.runMs = 10_000_000;
    await driver.feed([3]);
    expect(await progressOf(driver.primaries[0]!)).toEqual({ step: 'open', received: 2, sent: 2 });
    expect(await progressOf(busy.id)).toEqual({ step: 'open', received: 2, sent: 1 });
    expect(await progressOf(driver.primaries[2]!)).toEqual({ step: 'open', received: 1, sent: 1 });
  });

  it('says of a session that is over, or that it never had, that it knows none', async () => {
    const none = { step: 'unknown', received: 0, sent: 0 };
    expect(await progressOf(driver.primaries[1]!)).toEqual(none);
    await driver.answer();
    await driver.sayAll(driver.openers, [{ type: 'close', session: driver.session, reason: 'done' }]);
    expect(await progressOf(driver.primaries[1]!)).toEqual(none);
  });

  it('tells nobody else anything', async () => {
    await driver.answer();
    const stranger = new CheckDriver(network, 'stranger');
    expect(await progressOf(driver.primaries[1]!, stranger)).toEqual({ step: 'unknown', received: 0, sent: 0 });
  });

  it('does not rest the shorter for it', async () => {
    await driver.answer();
    for (let asked = 0; asked < 13; asked++) {
      await network.clock.advance(10_000);
      await progressOf(driver.primaries[1]!);
    }
    expect(await progressOf(driver.primaries[1]!)).toMatchObject({ step: 'unknown' });
  });

  it('ends its session when its requester closes it, whoever is before it', async () => {
    await driver.answer();
    await driver.say(driver.primaries[1]!, [{ type: 'close', session: driver.session, reason: 'failed' }]);
    expect(await progressOf(driver.primaries[1]!)).toMatchObject({ step: 'unknown' });
    expect(await progressOf(driver.primaries[2]!)).toMatchObject({ step: 'unknown' });
  });
});
