import { beforeEach, describe, expect, it } from 'vitest';
import { peerIdOf } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';
import { sketchRows } from '#shared/judge/sketch.ts';
import { commitBytes, revealBytes } from '#shared/judge/statement-codec.ts';
import type { Route } from '#shared/route/route.ts';
import { logitsRowBytes } from '#shared/rows/logits-row.ts';
import { foldRows, ShapeChain, splitRows } from '#shared/rows/row-chain.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { CheckDriver, toyPrompt } from '../../support/check-driver.ts';
import { TOY_VOCABULARY } from '../../support/toy-model.ts';
import { toyIdentity, ToyNetwork, toyVerify } from '../../support/toy-network.ts';

let network: ToyNetwork;
let driver: CheckDriver;
let primaries: PeerId[];
let shadows: PeerId[];

beforeEach(() => {
  network = new ToyNetwork(2);
  driver = new CheckDriver(network);
  ({ primaries, shadows } = driver);
});

const keptBytes = () => network.volunteers.reduce((sum, { host }) => sum + host.keptBytes, 0);
const positions = (peers: readonly PeerId[]) => peers.map((peer) => driver.volunteer(peer).compute.positions);
const counts = (peer: PeerId) => driver.volunteer(peer).host.counts;

describe('a session with shadows', () => {
  it('is ready when its primaries are open, and has everybody open soon after', async () => {
    await driver.open();
    expect(driver.heard).toEqual([{ from: primaries[2], message: { type: 'ready', session: driver.session } }]);
    expect(network.volunteers.map(({ host }) => host.sessionCount)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('has a shadow compute nothing until its check, and then each span in one run', async () => {
    await driver.answer();
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
    await driver.answer();
    const spans = [await driver.check(0, 32), await driver.check(32, 43)];
    for (const [i, span] of spans.entries()) {
      const [first, second] = [primaries, shadows].map((peers) => peers.map((peer) => driver.commits(peer)[i]!));
      for (const commit of [...first!, ...second!]) {
        expect(await toyVerify(commit.publicKey, commitBytes(commit.statement), commit.signature)).toBe(true);
        expect(commit.statement).toMatchObject(span);
      }
      expect(first!.map(({ publicKey }) => peerIdOf(publicKey))).toEqual(primaries);
      expect(second!.map(({ statement }) => statement.stage)).toEqual([0, 1, 2]);
      const chains = first!.map(({ statement: { shapes: _shapes, opening: _opening, ...rest } }) => rest);
      expect(second!.map(({ statement: { shapes: _shapes, opening: _opening, ...rest } }) => rest)).toEqual(chains);
      expect(chains[0]!.inputTo).toEqual(driver.sent.at(span.end));
      expect(chains[1]!.inputTo).toEqual(chains[0]!.outputTo);
      expect(chains[2]!.inputTo).toEqual(chains[1]!.outputTo);
      expect(chains[2]!.outputTo).toEqual(driver.logits.at(span.end));
      expect(chains[2]!.outputFrom).toEqual(driver.logits.at(span.start));
    }
  });

  it('has each replica sign under an opening of its own', async () => {
    await driver.answer();
    const spans = [await driver.check(0, 32), await driver.check(32, 43)];
    for (const span of spans) await driver.challenge(span);
    const openings = driver.replicas.map((peer) => {
      const statements = [...driver.commits(peer), ...driver.reveals(peer)].map(({ statement }) => statement);
      expect(statements).toHaveLength(4);
      return new Set(statements.map(({ opening }) => opening.join()));
    });
    expect(openings.map(({ size }) => size)).toEqual(openings.map(() => 1));
    expect(new Set(openings.flatMap((own) => [...own])).size).toBe(driver.replicas.length);
  });

  it('reveals sketches that fit from stage to stage, and the logits themselves at the head', async () => {
    await driver.answer();
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
    await driver.answer();
    await driver.check(0, 32);
    expect(counts(shadows[1]!)).toEqual({ positions: 32, spansShadowed: 1, spansCommitted: 0 });
    expect(counts(primaries[1]!)).toEqual({ positions: 43, spansShadowed: 0, spansCommitted: 1 });
  });

  it('gives rows back that are recalled, as its replicas took them in', async () => {
    await driver.answer();
    const recall: PeerMessage = { type: 'recall', session: driver.session, start: 32, end: 43 };
    await driver.sayAll([primaries[1]!, shadows[1]!, shadows[0]!], [recall]);
    const recalled = [primaries[1]!, shadows[1]!, shadows[0]!].map((peer) => driver.from(peer).at(-1));
    expect(recalled[0]).toMatchObject({ type: 'recalled', rows: { kind: 'hidden', start: 32, count: 11 } });
    expect(recalled[1]).toEqual(recalled[0]);
    expect(recalled[2]).toMatchObject({ type: 'recalled', rows: { kind: 'tokens', start: 32, count: 11 } });
  });

  it('keeps rows for as long as the session is open, and nothing after that', async () => {
    await driver.answer();
    await driver.check(0, 32);
    expect(keptBytes()).toBeGreaterThan(0);
    await driver.sayAll(driver.openers, [{ type: 'close', session: driver.session, reason: 'done' }]);
    await network.clock.advance(50);
    expect([keptBytes(), network.openSessions, network.clock.pendingTimers]).toEqual([0, 0, 0]);
  });

  it('lets go of outputs once they are revealed', async () => {
    await driver.answer();
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
    expect(driver.commitsOf()).toEqual([0, 0, 0, 0, 0, 0]);
    await driver.feed(toyPrompt(40));
    expect(driver.commitsOf()).toEqual([1, 1, 1, 1, 1, 1]);
    await driver.challenge(span);
    expect(driver.revealsOf()).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('takes checks that overtake each other, and checks that come twice, once', async () => {
    await driver.feed(toyPrompt(70));
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
    await driver.feed(toyPrompt(40));
    const span = await driver.check(0, 32);
    await driver.challenge(span);
    await driver.challenge(span);
    expect(driver.revealsOf()).toEqual([1, 1, 1, 1, 1, 1]);
    expect(driver.allFaults).toEqual([]);
  });

  it('drops a span that waits for its rows when a cut goes into it, and goes on from the cut', async () => {
    await driver.feed(toyPrompt(40));
    await driver.check(0, 32);
    await driver.check(32, 64);
    await driver.cut(36);
    await driver.feed(toyPrompt(4));
    await driver.check(36, 40);
    expect(driver.commits(primaries[1]!).map(({ statement }) => statement.index)).toEqual([1, 3]);
    // The four positions between were never checked, but the shadow needs their KV.
    expect(positions(shadows)).toEqual([40, 40, 40]);
    const [primary, shadow] = [primaries[2]!, shadows[2]!].map((peer) => driver.commits(peer)[1]!.statement);
    expect(shadow!.outputTo).toEqual(primary!.outputTo);
    expect(primary!.outputTo).toEqual(driver.logits.at(40));
    const last = driver.spans.at(-1)!;
    await driver.challenge(last);
    expect(driver.revealsOf()).toEqual([1, 1, 1, 1, 1, 1]);
    expect(driver.allFaults).toEqual([]);
  });

  it('takes a span that begins again before a cut', async () => {
    await driver.feed(toyPrompt(40));
    await driver.check(0, 32);
    await driver.check(32, 40);
    await driver.cut(36);
    await driver.feed(toyPrompt(6));
    await driver.check(32, 42);
    for (const stage of [0, 1, 2]) {
      const [primary, shadow] = [primaries[stage]!, shadows[stage]!].map((peer) => driver.commits(peer)[2]!.statement);
      expect([shadow!.inputTo, shadow!.outputTo]).toEqual([primary!.inputTo, primary!.outputTo]);
    }
    expect(driver.allFaults).toEqual([]);
  });

  it('is not asked for what a cut made void before that, whose number is left out', async () => {
    await driver.feed(toyPrompt(40));
    driver.span(0, 32);
    driver.span(32, 40);
    await driver.cut(20);
    await driver.feed(toyPrompt(20));
    const last = await driver.check(0, 32);
    expect(driver.spans).toHaveLength(3);
    expect(driver.commitsOf()).toEqual([1, 1, 1, 1, 1, 1]);
    await driver.challenge(last);
    expect(driver.revealsOf()).toEqual([1, 1, 1, 1, 1, 1]);
    expect(driver.allFaults).toEqual([]);
  });

  it('does not run out of spans because cuts make them void', async () => {
    for (let round = 0; round < 5; round++) {
      await driver.feed(toyPrompt(60));
      for (let start = 0; start < 60; start += 4) await driver.check(start, start + 4, [shadows[1]!]);
      await driver.cut(0);
    }
    expect(driver.commitsOf([shadows[1]!])).toEqual([75]);
    expect(driver.allFaults).toEqual([]);
  });

  it('reveals a span of before a cut though the next challenge comes at once', async () => {
    await driver.feed(toyPrompt(40));
    const spans = [await driver.check(0, 32), await driver.check(32, 40)];
    const challenges = [await driver.challengeMessage(spans[0]!), await driver.challengeMessage(spans[1]!)];
    await driver.cut(10);
    await driver.sayAll(driver.replicas, challenges);
    expect(driver.revealsOf()).toEqual([2, 2, 2, 2, 2, 2]);
  });

  it('still reveals what it committed to when a cut came between', async () => {
    await driver.feed(toyPrompt(40));
    const span = await driver.check(0, 32);
    const message = await driver.challengeMessage(span);
    await driver.cut(10);
    await driver.sayAll(driver.replicas, [message]);
    expect(driver.revealsOf()).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('keeps what it computed after a cut, though it is only then that it reveals a span of before', async () => {
    await driver.feed(toyPrompt(40));
    const span = await driver.check(0, 32);
    const message = await driver.challengeMessage(span);
    await driver.cut(10);
    await driver.feed(toyPrompt(22));
    await driver.sayAll(driver.replicas, [message]);
    await driver.challenge(await driver.check(10, 32));
    const [first, second] = [primaries, shadows].map((peers) =>
      peers.map((peer) => driver.reveals(peer)[1]!.statement.output),
    );
    expect(first).toEqual(second);
    expect(driver.allFaults).toEqual([]);
  });

  it('waits for a cut and the rows after it when the check came first', async () => {
    await driver.feed(toyPrompt(40));
    await driver.check(0, 32);
    const cut = driver.cutMessage(35);
    const rows = driver.rows([9, 8, 7]);
    await driver.check(32, 38);
    expect(driver.commitsOf()).toEqual([1, 1, 1, 1, 1, 1]);
    await driver.sayAll(driver.openers, [cut, ...rows]);
    await network.clock.advance(50);
    expect(driver.commitsOf()).toEqual([2, 2, 2, 2, 2, 2]);
    const [first, second] = [primaries, shadows].map((peers) => driver.commits(peers[2]!)[1]!.statement.outputTo);
    expect(second).toEqual(first);
  });

  it('commits to a span before a cut though the check comes after it', async () => {
    await driver.feed(toyPrompt(40));
    const span = driver.span(0, 32);
    await driver.cut(36);
    await driver.sayAll(driver.replicas, [{ type: 'check', ...span }]);
    expect(driver.commitsOf()).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('cuts while a shadow runs a span', async () => {
    await driver.feed(toyPrompt(40));
    for (const { compute } of network.volunteers) compute.runMs = 40;
    const check: PeerMessage = { type: 'check', ...driver.span(0, 32) };
    for (const peer of driver.replicas) await driver.say(peer, [check], 0);
    await network.clock.advance(20);
    await driver.cut(30);
    await driver.feed(toyPrompt(20));
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

describe('a shadow that fails', () => {
  /** Tokens that an answer over the primaries gives while its shadows do as `disturb` says. */
  async function answerWith(disturb: () => void | Promise<void>): Promise<void> {
    await driver.open();
    await driver.audit();
    await driver.feed(toyPrompt(40));
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
    expect(driver.commitsOf(primaries)).toEqual([1, 1, 1]);
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

  it('is closed by the requester itself, as a primary is, but by no stranger', async () => {
    await driver.open();
    const close = { type: 'close', session: driver.session, reason: 'no' } as const;
    const stranger = new CheckDriver(network, 'stranger');
    for (const peer of [primaries[1]!, shadows[1]!]) {
      await stranger.say(peer, [close]);
      expect(driver.volunteer(peer).host.sessionCount).toBe(1);
      await driver.say(peer, [close]);
      expect(driver.volunteer(peer).host.sessionCount).toBe(0);
    }
  });
});

describe('a replay', () => {
  it('runs what the requester sends to a middle stage, and answers to it', async () => {
    await driver.answer();
    const span = await driver.check(0, 32);
    const accused = driver.commits(primaries[1]!)[0]!.statement;
    await driver.say(shadows[1]!, [{ type: 'recall', session: driver.session, start: 0, end: 32 }]);
    const recalled = driver.from(shadows[1]!).at(-1);
    if (recalled?.type !== 'recalled') throw new Error('nothing was recalled');

    const referee = network.addVolunteer(1);
    const whole = network.route(toyIdentity('judge').id, 64)!;
    const stage = { ...whole.stages[1]!, primary: { id: referee.id, webrtc: true, numericClass: 'toy' } };
    const replay = new CheckDriver(network, 'judge', { ...whole, purpose: 'replay', stages: [stage] });
    await replay.open();
    await replay.audit();
    expect(replay.heard).toMatchObject([{ message: { type: 'ready' } }]);
    const { session } = replay;
    const { rows } = recalled;
    for (const row of splitRows(rows.bytes, 32)) replay.sent.append(row);
    await replay.say(referee.id, [
      rowsMessage({ session, stage: 0, epoch: 0, sequence: 0, chunk: 0, logitsFrom: 32, rows, hops: [] }),
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
  });

  it('may have its one span anywhere, and has one stage', async () => {
    const referee = network.of(0)[0]!;
    const whole = network.route(toyIdentity('judge').id, 64)!;
    const route: Route = { ...whole, purpose: 'replay', stages: whole.stages.slice(0, 1) };
    const replay = new CheckDriver(network, 'judge', route);
    await replay.open();
    await replay.audit();
    await replay.feed(toyPrompt(40));
    await replay.check(33, 40);
    expect(replay.commits(referee.id)[0]!.statement).toMatchObject({ start: 33, inputTo: replay.sent.at(40) });
    const wrong = new CheckDriver(network, 'judge 2', {
      ...network.route(toyIdentity('judge 2').id, 64)!,
      purpose: 'replay',
    });
    await wrong.open();
    expect(wrong.allFaults).toEqual(['unrouted']);
  });
});
