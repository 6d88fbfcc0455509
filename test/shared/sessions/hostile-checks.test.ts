import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { MAX_OPEN_CHECKS, OPEN_TIMEOUT_MS } from '#shared/limits.ts';
import { equivocationProof } from '#shared/proof/proof.ts';
import { verifyProof } from '#shared/proof/verify-proof.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { CheckDriver, toyPrompt } from '../../support/check-driver.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { toyManifest } from '../../support/toy-model.ts';
import { serverIdentity, toyIdentity, ToyNetwork, toyVerify } from '../../support/toy-network.ts';

let network: ToyNetwork;
let driver: CheckDriver;
let primaries: PeerId[];
let shadows: PeerId[];

beforeEach(() => {
  network = new ToyNetwork(2);
  driver = new CheckDriver(network);
  ({ primaries, shadows } = driver);
});

describe('an audit that is ahead of its session', () => {
  it('waits for the session to open', async () => {
    const audit: PeerMessage = { type: 'audit', session: driver.session, anchor: driver.seeds.anchor };
    await driver.sayAll([primaries[2]!, shadows[2]!], [audit, { type: 'check', ...driver.span(0, 32) }]);
    await driver.open();
    await driver.feed(toyPrompt(32));
    expect(driver.commitsOf([primaries[2]!, shadows[2]!])).toEqual([1, 1]);
  });

  it('is told after a while that the session never opened', async () => {
    await driver.audit();
    await network.clock.advance(OPEN_TIMEOUT_MS);
    expect(driver.allFaults).toEqual(new Array(6).fill('unknown-session'));
    expect(network.clock.pendingTimers).toBe(0);
  });

  it('is told at once that the session is over', async () => {
    await driver.open();
    await driver.sayAll(driver.openers, [{ type: 'close', session: driver.session, reason: '' }]);
    await driver.audit();
    // Shadows of later stages can say more: who feeds them has left.
    const told = ['link-lost', 'unknown-session'].map(
      (code) => driver.allFaults.filter((fault) => fault === code).length,
    );
    expect(told).toEqual([2, 4]);
  });

  it('is not held for more sessions than a peer may have', async () => {
    const of = (i: number) => i.toString(16).padStart(32, 'f') as SessionId;
    const audits = Array.from({ length: 17 }, (_, i): PeerMessage => {
      return { type: 'audit', session: of(i), anchor: driver.seeds.anchor };
    });
    await driver.say(primaries[0]!, audits);
    expect(driver.faults(primaries[0]!)).toEqual(['rate-limited']);
  });

  it('counts for nothing if it is not from the requester', async () => {
    const stranger = new CheckDriver(network, 'stranger', driver.route);
    const other = { type: 'audit', session: driver.session, anchor: new Uint8Array(32).fill(9) } as const;
    await stranger.say(primaries[2]!, [other]);
    await driver.open();
    await driver.audit();
    await driver.feed(toyPrompt(32));
    const span = await driver.check(0, 32);
    await driver.challenge(span);
    expect(driver.revealsOf()).toEqual([1, 1, 1, 1, 1, 1]);
  });
});

describe('a replica refuses', () => {
  beforeEach(() => driver.answer());

  it.each<[string, () => PeerMessage]>([
    ['an audit', () => ({ type: 'audit', session: driver.session, anchor: driver.seeds.anchor })],
    ['a check', () => ({ type: 'check', ...driver.span(0, 32) })],
    ['a recall', () => ({ type: 'recall', session: driver.session, start: 0, end: 32 })],
  ])('%s from anybody but the requester, and goes on', async (_, message) => {
    const stranger = new CheckDriver(network, 'stranger', driver.route);
    for (const peer of [primaries[1]!, shadows[1]!]) {
      await stranger.say(peer, [message()]);
      expect(stranger.from(peer)).toMatchObject([{ type: 'fault', code: 'unrouted' }]);
    }
    expect(network.volunteers.every(({ host }) => host.sessionCount === 1)).toBe(true);
  });

  it('a challenge from anybody but the requester, with whatever seed', async () => {
    const span = await driver.check(0, 32);
    const message = await driver.challengeMessage(span);
    const stranger = new CheckDriver(network, 'stranger', driver.route);
    await stranger.say(shadows[1]!, [message]);
    expect(stranger.from(shadows[1]!)).toMatchObject([{ type: 'fault', code: 'unrouted' }]);
    expect(driver.revealsOf([shadows[1]!])).toEqual([0]);
  });

  it.each<[string, string, () => PeerMessage]>([
    ['another anchor', 'bad-message', () => ({ type: 'audit', session: driver.session, anchor: new Uint8Array(32) })],
    ['a first span that leaves positions out', 'bad-message', () => ({ type: 'check', ...driver.span(1, 32) })],
    [
      'a recall of rows that never came',
      'bad-message',
      () => ({ type: 'recall', session: driver.session, start: 40, end: 44 }),
    ],
  ])('%s with %s', async (_, code, message) => {
    await driver.say(shadows[1]!, [message()]);
    expect(driver.faults(shadows[1]!)).toEqual([code]);
    expect(driver.volunteer(shadows[1]!).host.sessionCount).toBe(0);
  });

  it.each([
    ['a hole', 33, 40],
    ['an overlap', 31, 32],
  ])('a span after %s', async (_, start, end) => {
    await driver.check(0, 32);
    await driver.check(start, end, [shadows[1]!]);
    expect(driver.faults(shadows[1]!)).toEqual(['bad-message']);
  });

  it('more spans than may be open', async () => {
    const spans = Array.from({ length: 2 * MAX_OPEN_CHECKS + 1 }, (_, i) => driver.span(i, i + 1));
    await driver.sayAll(
      [shadows[1]!],
      spans.map((span) => ({ type: 'check', ...span })),
    );
    expect(driver.faults(shadows[1]!)).toEqual(['rate-limited']);
    expect(driver.volunteer(shadows[1]!).host.keptBytes).toBe(0);
  });

  type Challenge = Extract<PeerMessage, { type: 'challenge' }>;
  it.each<[string, (good: Challenge) => Challenge | Promise<Challenge>]>([
    ['the seed of another span', (good) => ({ ...good, seed: driver.seeds.seed(2) })],
    ['a seed of another chain', (good) => ({ ...good, seed: new Uint8Array(32).fill(1) })],
    ['the number of a span that was never checked', (good) => ({ ...good, index: 2, seed: driver.seeds.seed(2) })],
    [
      'a commit that another signed',
      async (good) => ({ ...good, commit: await driver.commit(driver.spans[0]!, {}, toyIdentity('another')) }),
    ],
    [
      'a signature that is not good',
      (good) => ({ ...good, commit: { ...good.commit, signature: new Uint8Array(64) } }),
    ],
    [
      'a commit to another session',
      async (good) => ({
        ...good,
        commit: await driver.commit(driver.spans[0]!, { session: 'a'.repeat(32) as SessionId }),
      }),
    ],
    [
      'a commit to another span',
      async (good) => ({ ...good, commit: await driver.commit(driver.spans[0]!, { end: 31 }) }),
    ],
    [
      'a commit of another epoch',
      async (good) => ({ ...good, commit: await driver.commit(driver.spans[0]!, { epoch: 1 }) }),
    ],
    [
      'a commit with another number',
      async (good) => ({ ...good, commit: await driver.commit(driver.spans[0]!, { index: 2 }) }),
    ],
    [
      'a commit for a stage',
      async (good) => ({ ...good, commit: await driver.commit(driver.spans[0]!, { stage: 1 }) }),
    ],
    [
      'a commit under an opening',
      async (good) => ({
        ...good,
        commit: await driver.commit(driver.spans[0]!, { opening: new Uint8Array(16).fill(1) }),
      }),
    ],
    [
      'a commit to other tokens than it sent',
      async (good) => ({ ...good, commit: await driver.commit(driver.spans[0]!, { outputTo: new Uint8Array(32) }) }),
    ],
  ])('a challenge with %s, and reveals nothing', async (_, change) => {
    await driver.check(0, 32);
    const good = await driver.challengeMessage(driver.spans[0]!);
    await driver.say(shadows[0]!, [await change(good)]);
    expect(driver.faults(shadows[0]!)).toEqual(['check-failed']);
    expect(driver.revealsOf([shadows[0]!])).toEqual([0]);
  });

  it('a challenge before its commit', async () => {
    await driver.check(0, 32);
    const span = await driver.check(32, 44, [shadows[1]!]);
    expect(driver.commitsOf([shadows[1]!])).toEqual([1]);
    const { commit } = await driver.challengeMessage(driver.spans[0]!);
    const { session, index } = span;
    await driver.say(shadows[1]!, [{ type: 'challenge', session, index, seed: driver.seeds.seed(index), commit }]);
    expect(driver.faults(shadows[1]!)).toEqual(['check-failed']);
  });
});

describe('a volunteer whose tab was loaded again', () => {
  it('signs nothing under the route it forgot that stands against what it signed before', async () => {
    const network = new ToyNetwork(2);
    const first = new CheckDriver(network);
    const { route } = first;
    const shadow = first.shadows[0]!;
    const commit = async (driver: CheckDriver, tokens: readonly number[]) => {
      await driver.open();
      await driver.audit();
      await driver.feed(tokens);
      await driver.check(0, tokens.length, [shadow]);
      return driver.commits(shadow)[0]!;
    };
    const before = await commit(first, [3, 9, 27]);
    network.reload(shadow);
    const after = await commit(new CheckDriver(network, 'checker', route), [3, 9, 26]);
    const fields = ['session', 'epoch', 'index', 'start', 'end', 'stage'] as const;
    for (const field of fields) expect(after.statement[field]).toBe(before.statement[field]);
    expect(after.statement.outputTo).not.toEqual(before.statement.outputTo);
    expect(after.statement.opening).not.toEqual(before.statement.opening);
    const proof = equivocationProof(await network.sign(route), before, after);
    const verified = verifyProof(proof, {
      serverKey: serverIdentity.publicKey,
      verify: toyVerify,
      isReferee: () => true,
      manifest: () => toyManifest,
    });
    expect(await codeOfAsync(verified)).toBe('bad-message');
  });
});
