import { beforeEach, describe, expect, it } from 'vitest';
import { foldRows, ShapeChain, splitRows } from '#shared/check/row-chain.ts';
import { sketchRows } from '#shared/check/sketch.ts';
import { commitBytes, revealBytes } from '#shared/check/statement-codec.ts';
import { peerIdOf } from '#shared/crypto/identity.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { MAX_OPEN_CHECKS, OPEN_TIMEOUT_MS } from '#shared/limits.ts';
import type { Route } from '#shared/session/route.ts';
import { rowsMessage } from '#shared/session/rows-message.ts';
import { logitsRowBytes } from '#shared/session/sampler.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { CheckDriver, shadowedRoute } from '../../support/check-driver.ts';
import { TOY_VOCABULARY } from '../../support/toy-model.ts';
import { toyIdentity, ToyNetwork, toyVerify } from '../../support/toy-network.ts';

const prompt = (length: number) => Array.from({ length }, (_, i) => 1 + ((7 * i + length) % (TOY_VOCABULARY - 1)));

let network: ToyNetwork;
let driver: CheckDriver;
let primaries: PeerId[];
let shadows: PeerId[];

beforeEach(() => {
  network = new ToyNetwork(2);
  driver = new CheckDriver(network);
  primaries = driver.route.stages.map(({ primary }) => primary.id);
  shadows = driver.route.stages.map((stage) => stage.shadows[0]!.id);
});

const keptBytes = () => network.volunteers.reduce((sum, { host }) => sum + host.keptBytes, 0);
const positions = (peers: readonly PeerId[]) => peers.map((peer) => driver.volunteer(peer).compute.positions);
const counts = (peer: PeerId) => driver.volunteer(peer).host.counts;
const commitsOf = (peers: readonly PeerId[]) => peers.map((peer) => driver.commits(peer).length);
const revealsOf = (peers: readonly PeerId[]) => peers.map((peer) => driver.reveals(peer).length);

/** A prompt of 40 tokens and three of an answer, each on its own. */
async function answer(): Promise<void> {
  await driver.open();
  await driver.audit();
  await driver.feed(prompt(40));
  for (const token of [3, 9, 27]) await driver.feed([token]);
}

describe('a session with shadows', () => {
  it('is ready when its primaries are open, and has everybody open soon after', async () => {
    await driver.open();
    expect(driver.heard).toEqual([{ from: primaries[2], message: { type: 'ready', session: driver.session } }]);
    expect(network.volunteers.map(({ host }) => host.sessionCount)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('has a shadow compute nothing until its check, and then each span in one run', async () => {
    await answer();
    expect(positions(shadows)).toEqual([0, 0, 0]);
    await driver.check(0, 32);
    expect(positions(shadows)).toEqual([32, 32, 32]);
    await driver.check(32, 43);
    expect(positions(shadows)).toEqual([43, 43, 43]);
    const shapes = (runs: [number, number][]) => {
      const chain = new ShapeChain();
      for (const [start, count] of runs) chain.append(start, count);
      return chain.at(43);
    };
    const asShadow = shapes([
      [0, 32],
      [32, 11],
    ]);
    const asPrimary = shapes([
      [0, 32],
      [32, 8],
      [40, 1],
      [41, 1],
      [42, 1],
    ]);
    for (const peer of shadows) expect(driver.commits(peer)[1]!.statement.shapes).toEqual(asShadow);
    for (const peer of primaries) expect(driver.commits(peer)[1]!.statement.shapes).toEqual(asPrimary);
    expect(driver.allFaults).toEqual([]);
  });

  it('commits stage by stage to what went in and came out, the same by primary and shadow', async () => {
    await answer();
    const spans = [await driver.check(0, 32), await driver.check(32, 43)];
    for (const [i, span] of spans.entries()) {
      const [first, second] = [primaries, shadows].map((peers) => peers.map((peer) => driver.commits(peer)[i]!));
      for (const commit of [...first!, ...second!]) {
        expect(await toyVerify(commit.publicKey, commitBytes(commit.statement), commit.signature)).toBe(true);
        expect(commit.statement).toMatchObject(span);
      }
      expect(first!.map(({ publicKey }) => peerIdOf(publicKey))).toEqual(primaries);
      expect(second!.map(({ statement }) => statement.stage)).toEqual([0, 1, 2]);
      const chains = first!.map(({ statement: { shapes: _shapes, ...rest } }) => rest);
      expect(second!.map(({ statement: { shapes: _shapes, ...rest } }) => rest)).toEqual(chains);
      expect(chains[0]!.inputTo).toEqual(driver.tokens.at(span.end));
      expect(chains[1]!.inputTo).toEqual(chains[0]!.outputTo);
      expect(chains[2]!.inputTo).toEqual(chains[1]!.outputTo);
      expect(chains[2]!.outputTo).toEqual(driver.logits.at(span.end));
      expect(chains[2]!.outputFrom).toEqual(driver.logits.at(span.start));
    }
  });

  it('reveals sketches that fit from stage to stage, and the logits themselves at the head', async () => {
    await answer();
    await driver.check(0, 32);
    const span = await driver.check(32, 43);
    await driver.challenge(driver.spans[0]!);
    await driver.challenge(span);
    const seed = driver.seeds.seed(2);
    for (const peers of [primaries, shadows]) {
      const reveals = peers.map((peer) => driver.reveals(peer)[1]!);
      for (const { statement, publicKey, signature } of reveals) {
        expect(statement).toMatchObject({ ...span, seed });
        expect(await toyVerify(publicKey, revealBytes(statement), signature)).toBe(true);
      }
      const [first, middle, last] = reveals.map(({ statement }) => statement);
      expect(first!.input.length).toBe(0);
      expect(middle!.input).toEqual(first!.output);
      expect(last!.input).toEqual(middle!.output);
      // Logits were wanted for the last of the prompt and the three that followed.
      const rows = splitRows(last!.output, 4);
      expect(rows[0]!.length).toBe(logitsRowBytes(TOY_VOCABULARY));
      const { outputFrom, outputTo } = driver.commits(primaries[2]!)[1]!.statement;
      const unwanted = Array.from({ length: 7 }, () => new Uint8Array());
      expect(foldRows(outputFrom, [...unwanted, ...rows])).toEqual(outputTo);
    }
    const sent = network.links.log.flatMap(({ from, to, message }) =>
      from === primaries[0] && to === primaries[1] && message.type === 'rows' && message.rows.start >= 32
        ? [...message.rows.bytes]
        : [],
    );
    const values = new Float32Array(Uint8Array.from(sent).buffer);
    expect(driver.reveals(shadows[1]!)[1]!.statement.input).toEqual(sketchRows(values, 1, Float32Array.of(1), seed));
  });

  it('counts what volunteers ran again for others and what they stood for', async () => {
    await answer();
    await driver.check(0, 32);
    expect(counts(shadows[1]!)).toEqual({ positions: 32, spansShadowed: 1, spansCommitted: 0 });
    expect(counts(primaries[1]!)).toEqual({ positions: 43, spansShadowed: 0, spansCommitted: 1 });
  });

  it('gives rows back that are recalled, as its replicas took them in', async () => {
    await answer();
    const recall: PeerMessage = { type: 'recall', session: driver.session, start: 32, end: 43 };
    await driver.sayAll([primaries[1]!, shadows[1]!, shadows[0]!], [recall]);
    const recalled = [primaries[1]!, shadows[1]!, shadows[0]!].map((peer) => driver.from(peer).at(-1));
    expect(recalled[0]).toMatchObject({ type: 'recalled', rows: { kind: 'hidden', start: 32, count: 11 } });
    expect(recalled[1]).toEqual(recalled[0]);
    expect(recalled[2]).toMatchObject({ type: 'recalled', rows: { kind: 'tokens', start: 32, count: 11 } });
  });

  it('keeps rows for as long as the session is open, and nothing after that', async () => {
    await answer();
    await driver.check(0, 32);
    expect(keptBytes()).toBeGreaterThan(0);
    await driver.sayAll(driver.openers, [{ type: 'close', session: driver.session, reason: 'done' }]);
    await network.clock.advance(50);
    expect([keptBytes(), network.openSessions, network.clock.pendingTimers]).toEqual([0, 0, 0]);
  });

  it('lets go of outputs once they are revealed', async () => {
    await answer();
    const span = await driver.check(0, 32);
    const before = keptBytes();
    await driver.challenge(span);
    expect(keptBytes()).toBeLessThan(before);
  });
});

describe('checks and rows in any order', () => {
  beforeEach(async () => {
    await driver.open();
    await driver.audit();
  });

  it('holds a check until its rows have come', async () => {
    const span = await driver.check(0, 32);
    expect(commitsOf(driver.replicas)).toEqual([0, 0, 0, 0, 0, 0]);
    await driver.feed(prompt(40));
    expect(commitsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
    await driver.challenge(span);
    expect(revealsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('takes checks that overtake each other, and checks that come twice, once', async () => {
    await driver.feed(prompt(70));
    const spans = [driver.span(0, 32), driver.span(32, 64), driver.span(64, 70)];
    const checks = spans.map((span): PeerMessage => ({ type: 'check', ...span }));
    await driver.sayAll(driver.replicas, [checks[2]!, checks[0]!, checks[2]!, checks[1]!, checks[0]!, checks[1]!]);
    for (const peer of driver.replicas) {
      expect(driver.commits(peer).map(({ statement }) => statement.index)).toEqual([1, 2, 3]);
    }
    await driver.challenge(spans[1]!);
    await driver.challenge(spans[0]!);
    for (const peer of driver.replicas) {
      expect(driver.reveals(peer).map(({ statement }) => statement.index)).toEqual([2, 1]);
    }
    expect(driver.allFaults).toEqual([]);
  });

  it('answers a challenge that comes twice once', async () => {
    await driver.feed(prompt(40));
    const span = await driver.check(0, 32);
    await driver.challenge(span);
    await driver.challenge(span);
    expect(revealsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(driver.allFaults).toEqual([]);
  });

  it('drops a span that waits for its rows when a cut goes into it, and goes on from the cut', async () => {
    await driver.feed(prompt(40));
    await driver.check(0, 32);
    await driver.check(32, 64);
    await driver.cut(36);
    await driver.feed(prompt(4));
    await driver.check(36, 40);
    expect(driver.commits(primaries[1]!).map(({ statement }) => statement.index)).toEqual([1, 3]);
    // The four positions between were never checked, but the shadow needs their KV.
    expect(positions(shadows)).toEqual([40, 40, 40]);
    const [primary, shadow] = [primaries[2]!, shadows[2]!].map((peer) => driver.commits(peer)[1]!.statement);
    expect(shadow!.outputTo).toEqual(primary!.outputTo);
    expect(primary!.outputTo).toEqual(driver.logits.at(40));
    const last = driver.spans.at(-1)!;
    await driver.challenge(last);
    expect(revealsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(driver.allFaults).toEqual([]);
  });

  it('takes a span that begins again before a cut', async () => {
    await driver.feed(prompt(40));
    await driver.check(0, 32);
    await driver.check(32, 40);
    await driver.cut(36);
    await driver.feed(prompt(6));
    await driver.check(32, 42);
    for (const stage of [0, 1, 2]) {
      const [primary, shadow] = [primaries[stage]!, shadows[stage]!].map((peer) => driver.commits(peer)[2]!.statement);
      expect([shadow!.inputTo, shadow!.outputTo]).toEqual([primary!.inputTo, primary!.outputTo]);
    }
    expect(driver.allFaults).toEqual([]);
  });

  it('still reveals what it committed to when a cut came between', async () => {
    await driver.feed(prompt(40));
    const span = await driver.check(0, 32);
    const message = await driver.challengeMessage(span);
    await driver.cut(10);
    await driver.sayAll(driver.replicas, [message]);
    expect(revealsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('waits for a cut and the rows after it when the check came first', async () => {
    await driver.feed(prompt(40));
    await driver.check(0, 32);
    const cut = driver.cutMessage(35);
    const rows = driver.rows([9, 8, 7]);
    await driver.check(32, 38);
    expect(commitsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
    await driver.sayAll(driver.openers, [cut, ...rows]);
    await network.clock.advance(50);
    expect(commitsOf(driver.replicas)).toEqual([2, 2, 2, 2, 2, 2]);
    const [first, second] = [primaries, shadows].map((peers) => driver.commits(peers[2]!)[1]!.statement.outputTo);
    expect(second).toEqual(first);
  });

  it('commits to a span before a cut though the check comes after it', async () => {
    await driver.feed(prompt(40));
    const span = driver.span(0, 32);
    await driver.cut(36);
    await driver.sayAll(driver.replicas, [{ type: 'check', ...span }]);
    expect(commitsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('cuts while a shadow runs a span', async () => {
    await driver.feed(prompt(40));
    for (const { compute } of network.volunteers) compute.runMs = 40;
    const check: PeerMessage = { type: 'check', ...driver.span(0, 32) };
    for (const peer of driver.replicas) await driver.say(peer, [check], 0);
    await network.clock.advance(20);
    await driver.cut(30);
    await driver.feed(prompt(20));
    await driver.check(30, 32);
    await driver.check(32, 50);
    await network.clock.advance(200);
    for (const stage of [0, 1, 2]) {
      const [primary, shadow] = [primaries[stage]!, shadows[stage]!].map(
        (peer) => driver.commits(peer).at(-1)!.statement,
      );
      expect(primary!.index).toBe(3);
      expect([shadow!.inputTo, shadow!.outputTo]).toEqual([primary!.inputTo, primary!.outputTo]);
    }
    expect(driver.allFaults).toEqual([]);
  });
});

describe('an audit that is ahead of its session', () => {
  it('waits for the session to open', async () => {
    const audit: PeerMessage = { type: 'audit', session: driver.session, anchor: driver.seeds.anchor };
    await driver.sayAll([primaries[2]!, shadows[2]!], [audit, { type: 'check', ...driver.span(0, 32) }]);
    await driver.open();
    await driver.feed(prompt(32));
    expect(commitsOf([primaries[2]!, shadows[2]!])).toEqual([1, 1]);
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
    expect(driver.allFaults).toEqual(new Array(6).fill('unknown-session'));
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
    await driver.feed(prompt(32));
    const span = await driver.check(0, 32);
    await driver.challenge(span);
    expect(revealsOf(driver.replicas)).toEqual([1, 1, 1, 1, 1, 1]);
  });
});

describe('a replica refuses', () => {
  beforeEach(answer);

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
    expect(revealsOf([shadows[1]!])).toEqual([0]);
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
      'a commit to other tokens than it sent',
      async (good) => ({ ...good, commit: await driver.commit(driver.spans[0]!, { outputTo: new Uint8Array(32) }) }),
    ],
  ])('a challenge with %s, and reveals nothing', async (_, change) => {
    await driver.check(0, 32);
    const good = await driver.challengeMessage(driver.spans[0]!);
    await driver.say(shadows[0]!, [await change(good)]);
    expect(driver.faults(shadows[0]!)).toEqual(['check-failed']);
    expect(revealsOf([shadows[0]!])).toEqual([0]);
  });

  it('a challenge before its commit', async () => {
    await driver.check(0, 32);
    const span = await driver.check(32, 44, [shadows[1]!]);
    expect(commitsOf([shadows[1]!])).toEqual([1]);
    const { commit } = await driver.challengeMessage(driver.spans[0]!);
    const { session, index } = span;
    await driver.say(shadows[1]!, [{ type: 'challenge', session, index, seed: driver.seeds.seed(index), commit }]);
    expect(driver.faults(shadows[1]!)).toEqual(['check-failed']);
  });
});

describe('a shadow that fails', () => {
  /** Tokens that an answer over the primaries gives while its shadows do as `disturb` says. */
  async function answerWith(disturb: () => void | Promise<void>): Promise<void> {
    await driver.open();
    await driver.audit();
    await driver.feed(prompt(40));
    await disturb();
    await network.clock.advance(50);
    for (const token of [3, 9, 27]) await driver.feed([token]);
    const laps = driver.from(primaries[2]!).filter(({ type }) => type === 'rows');
    expect(laps).toHaveLength(5);
    expect(primaries.map((peer) => driver.faults(peer))).toEqual([[], [], []]);
    expect(primaries.map((peer) => driver.volunteer(peer).host.sessionCount)).toEqual([1, 1, 1]);
  }
  const rowsTo = (peer: PeerId) =>
    network.links.log.filter(({ to, message }) => to === peer && message.type === 'rows');

  it('by leaving disturbs nothing', async () => {
    await answerWith(() => shadows.forEach((peer) => network.links.kill(peer)));
    await driver.check(0, 32, primaries);
    expect(commitsOf(primaries)).toEqual([1, 1, 1]);
  });

  it('by never being there disturbs nothing', async () => {
    for (const peer of shadows.slice(1)) network.links.kill(peer);
    await answerWith(() => undefined);
    expect(rowsTo(shadows[1]!)).toEqual([]);
  });

  it('with a fault is fed no longer, and says so to the requester', async () => {
    await answerWith(async () => {
      driver.volunteer(shadows[1]!).compute.run = () => Promise.reject(new Error('no device'));
      await driver.check(0, 32, [shadows[1]!]);
    });
    expect(driver.faults(shadows[1]!)).toEqual(['internal']);
    expect(rowsTo(shadows[1]!)).toHaveLength(2);
    expect(rowsTo(shadows[2]!)).toHaveLength(5);
  });

  it('in the eyes of the requester is closed by it, and fed no longer', async () => {
    await answerWith(() => driver.say(shadows[1]!, [{ type: 'close', session: driver.session, reason: 'wrong' }]));
    expect(driver.volunteer(shadows[1]!).host.sessionCount).toBe(0);
    expect(rowsTo(shadows[1]!)).toHaveLength(2);
  });

  it('by refusing the session disturbs nothing', async () => {
    driver.volunteer(shadows[1]!).host.isAccepting = false;
    await answerWith(() => undefined);
    expect(rowsTo(shadows[1]!)).toHaveLength(0);
  });

  it('is closed by the requester itself, which a primary is not', async () => {
    await driver.open();
    await driver.say(primaries[1]!, [{ type: 'close', session: driver.session, reason: 'no' }]);
    expect(driver.volunteer(primaries[1]!).host.sessionCount).toBe(1);
  });
});

describe('a replay', () => {
  it('runs what the requester sends to a middle stage, and answers to it', async () => {
    await answer();
    const span = await driver.check(0, 32);
    const accused = driver.commits(primaries[1]!)[0]!.statement;
    const recall: PeerMessage = { type: 'recall', session: driver.session, start: 0, end: 32 };
    await driver.say(shadows[1]!, [recall]);
    const recalled = driver.from(shadows[1]!).at(-1);
    if (recalled?.type !== 'recalled') throw new Error('nothing was recalled');

    const referee = network.addVolunteer(1);
    const whole = network.route(toyIdentity('referee asker').id, 64)!;
    const stage = { ...whole.stages[1]!, primary: { id: referee.id, webrtc: true, numericClass: 'toy' } };
    const route: Route = { ...whole, purpose: 'replay', stages: [stage] };
    const replay = new CheckDriver(network, 'referee asker', route);
    await replay.open();
    await replay.audit();
    expect(replay.heard).toMatchObject([{ message: { type: 'ready' } }]);
    const {
      type: _type,
      digest: _digest,
      ...rows
    } = network.links.log.flatMap(({ to, message }) =>
      to === primaries[1] && message.type === 'rows' ? [message] : [],
    )[0]!;

    await replay.say(referee.id, [
      rowsMessage({ ...rows, session: replay.session, stage: 0, hops: [], rows: recalled.rows }),
    ]);
    expect(replay.heard.at(-1)?.message).toMatchObject({ type: 'rows', stage: 1, rows: { kind: 'hidden', count: 32 } });
    const again = await replay.check(0, 32);
    const { inputTo, outputTo, shapes, stage: number } = replay.commits(referee.id)[0]!.statement;
    expect([inputTo, outputTo, shapes]).toEqual([accused.inputTo, accused.outputTo, accused.shapes]);
    expect(number).toBe(0);
    await replay.challenge(again);
    await driver.challenge(span);
    expect(replay.reveals(referee.id)[0]!.statement.output).toEqual(driver.reveals(primaries[1]!)[0]!.statement.output);
    expect([replay.allFaults, driver.allFaults]).toEqual([[], []]);
    expect(shadowedRoute(network, replay.identity.id).stages).toHaveLength(3);
  });
});
