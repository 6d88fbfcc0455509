import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHUNK_POSITIONS, RUN_TIMEOUT_MS } from '#shared/limits.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { GREEDY, toyAnswer, toyDigest, toyManifest, TOY_VOCABULARY } from '../../support/toy-model.ts';
import { collect, ToyNetwork } from '../../support/toy-network.ts';

const never = new AbortController().signal;
const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});
const prompt = (length: number) => Array.from({ length }, (_, i) => 1 + ((7 * i + length) % (TOY_VOCABULARY - 1)));
const typesOf = (events: readonly AnswerEvent[]) => events.map((event) => event.type);
/** How many token positions the requester sent in all. */
const sentPositions = (network: ToyNetwork) =>
  network.links.log.reduce(
    (sum, { message }) => sum + (message.type === 'rows' && message.rows.kind === 'tokens' ? message.rows.count : 0),
    0,
  );

describe('a session over three stages', () => {
  it.each([1, 31, 32, 33, 64, 200])('answers a prompt of %i tokens as the uncut model does', async (length) => {
    const network = new ToyNetwork();
    const { tokens, events } = await network.ask(network.conversation(), greedy(prompt(length)));
    expect(tokens).toEqual(toyAnswer(prompt(length), 24));
    expect(events.at(-1)).toMatchObject({
      type: 'end',
      usage: { promptTokens: length, completionTokens: tokens.length },
    });
  });

  it('samples as the uncut model does with the same seed, and otherwise with another', async () => {
    const network = new ToyNetwork();
    const sampling = { temperature: 0.8, topP: 0.9, seed: 7 };
    const conversation = network.conversation();
    const ask = (seed: number) => network.ask(conversation, { ...greedy(prompt(5)), sampling: { ...sampling, seed } });
    expect((await ask(7)).tokens).toEqual(toyAnswer(prompt(5), 24, sampling));
    expect((await ask(7)).tokens).toEqual(toyAnswer(prompt(5), 24, sampling));
    expect((await ask(8)).tokens).not.toEqual(toyAnswer(prompt(5), 24, sampling));
  });

  it('reports the route, the prompt going in, each token with every hop, and the end', async () => {
    const network = new ToyNetwork();
    const { events } = await network.ask(network.conversation(), greedy(prompt(70), 3));
    const told = events.filter(({ type }) => type !== 'checked');
    expect(typesOf(told)).toEqual(['routed', 'prompt', 'prompt', 'prompt', 'token', 'token', 'token', 'end']);
    expect(told[3]).toEqual({ type: 'prompt', done: 70, total: 70 });
    expect(told[4]).toMatchObject({ position: 70, hops: [{ stage: 0 }, { stage: 1 }, { stage: 2 }] });
    expect(events[0]).toMatchObject({
      links: [
        { stage: 0, transport: 'webrtc' },
        { stage: 2, transport: 'webrtc' },
      ],
    });
    expect(events.at(-1)).toMatchObject({ reason: 'length' });
  });

  it('ends with stop at an end token, which it does not report', async () => {
    const network = new ToyNetwork();
    const whole = toyAnswer(prompt(9), 1000);
    expect(whole.length).toBeLessThan(1000);
    const { tokens, events } = await network.ask(network.conversation(), greedy(prompt(9), 1000));
    expect(tokens).toEqual(whole);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'stop' });
  });

  it('lets stages work on different chunks at the same time', async () => {
    const network = new ToyNetwork();
    for (const { compute } of network.volunteers) compute.runMs = 100;
    const chunks = 8;
    await network.ask(network.conversation(), greedy(prompt(chunks * CHUNK_POSITIONS), 1));
    // One after the other would take 3 x 8 runs; overlapping takes 8 + 2.
    expect(network.clock.nowMs()).toBeLessThan((chunks + 3) * 100);
  });

  it('sends rows that never straddle two chunks', async () => {
    const network = new ToyNetwork();
    await network.ask(network.conversation(), greedy(prompt(100)));
    for (const { message } of network.links.log) {
      if (message.type !== 'rows') continue;
      const { start, count } = message.rows;
      if (count > 0) expect(Math.floor((start + count - 1) / CHUNK_POSITIONS)).toBe(message.chunk);
    }
  });

  it('gives everything back when the conversation closes', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    const conversation = requester.openConversation({ manifest: toyManifest, digest: toyDigest });
    await network.ask(conversation, greedy(prompt(5), 4));
    conversation.close();
    await network.clock.advance(10);
    expect(network.openSessions).toBe(0);
    expect(control.sent.at(-1)).toMatchObject({ type: 'release', outcome: 'done', tokens: 4, faults: [] });
    expect(network.clock.pendingTimers).toBe(0);
  });
});

describe('a conversation', () => {
  it('sends only what is new when the chat goes on', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    const first = await network.ask(conversation, greedy(prompt(40), 10));
    const history = [...prompt(40), ...first.tokens, 5, 6, 7];
    const before = sentPositions(network);
    const second = await network.ask(conversation, greedy(history, 10));
    expect(second.tokens).toEqual(toyAnswer(history, 10));
    // The last token of the first answer was never sent, three are new, and nine laps follow the first.
    expect(sentPositions(network) - before).toBe(1 + 3 + second.tokens.length - 1);
    expect(network.routes).toHaveLength(1);
  });

  it('cuts back to what an edited history shares with the old one', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(50), 10));
    const edited = [...prompt(50).slice(0, 37), 3, 9, 27];
    const before = sentPositions(network);
    const { tokens } = await network.ask(conversation, greedy(edited, 10));
    expect(tokens).toEqual(toyAnswer(edited, 10));
    expect(sentPositions(network) - before).toBe(3 + tokens.length - 1);
    expect(network.links.log.find(({ message }) => message.type === 'cut')?.message).toMatchObject({ position: 37 });
  });

  it('answers the same prompt again from its last position', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    const first = await network.ask(conversation, greedy(prompt(40), 5));
    const again = await network.ask(conversation, greedy(prompt(40), 5));
    expect(again.tokens).toEqual(first.tokens);
    expect(again.events.filter((event) => event.type === 'prompt')).toEqual([{ type: 'prompt', done: 1, total: 1 }]);
  });

  it('goes on rightly after an answer was cancelled in the middle of its prompt', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    const abort = new AbortController();
    const stopAt = (event: AnswerEvent) => event.type === 'prompt' && event.done === 64 && abort.abort();
    const cancelled = await network.ask(conversation, greedy(prompt(600)), stopAt, abort.signal);
    expect(cancelled.events.at(-1)).toMatchObject({ type: 'end', reason: 'cancelled' });
    for (const next of [prompt(600), [...prompt(600).slice(0, 40), 8], prompt(3)]) {
      expect((await network.ask(conversation, greedy(next, 8))).tokens).toEqual(toyAnswer(next, 8));
    }
    expect(network.releases.map(({ outcome }) => outcome)).not.toContain('failed');
  });

  it('goes on rightly when a history is edited twice while a stage is still busy with the first', async () => {
    const network = new ToyNetwork();
    for (const { compute } of network.of(0)) compute.runMs = 1000;
    const conversation = network.conversation();
    const abort = new AbortController();
    await network.ask(
      conversation,
      greedy(prompt(600)),
      (event) => event.type === 'prompt' && abort.abort(),
      abort.signal,
    );
    await network.ask(conversation, greedy([...prompt(600).slice(0, 100), 8]), undefined, AbortSignal.abort());
    const last = [...prompt(600).slice(0, 70), 9];
    expect((await network.ask(conversation, greedy(last, 8))).tokens).toEqual(toyAnswer(last, 8));
    expect(network.releases).toEqual([]);
  });

  it('goes on rightly after its reader left in the middle of an answer', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    const leave = async () => {
      for await (const event of conversation.generate({ ...greedy(prompt(20)), signal: never })) {
        if (event.type === 'token') return;
      }
    };
    await network.until(leave());
    expect((await network.ask(conversation, greedy(prompt(30), 8))).tokens).toEqual(toyAnswer(prompt(30), 8));
  });

  it('can be cancelled while its route is made', async () => {
    const network = new ToyNetwork();
    const abort = new AbortController();
    network.links.fate = (_message, from) => (from === network.of(0)[0]!.id ? [1000] : [1]);
    const conversation = network.conversation();
    network.clock.setTimer(() => abort.abort(), 500);
    const { events } = await network.ask(conversation, greedy(prompt(5)), undefined, abort.signal);
    expect(typesOf(events)).toEqual(['end']);
    await network.clock.advance(10);
    network.links.fate = () => [1];
    expect((await network.ask(conversation, greedy(prompt(5), 4))).tokens).toEqual(toyAnswer(prompt(5), 4));
    conversation.close();
    await network.clock.advance(20_000);
    expect(network.openSessions).toBe(0);
    expect(network.releases).toHaveLength(network.routes.length);
  });

  it('takes a longer session when the history outgrows the one it has', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(400), 5));
    const { tokens } = await network.ask(conversation, greedy(prompt(700), 5));
    expect(tokens).toEqual(toyAnswer(prompt(700), 5));
    expect(network.routes.map(({ capacity }) => capacity)).toEqual([512, 1024]);
    expect(network.releases.map(({ outcome }) => outcome)).toEqual(['done']);
  });

  it('takes a new session, and blames nobody, when the lease ends', async () => {
    const network = new ToyNetwork();
    network.leaseMs = 12_000;
    const { tokens } = await network.ask(network.conversation(), greedy(prompt(12), 600), (event) => {
      if (event.type === 'token' && event.position === 20) void network.clock.advance(5_000);
    });
    expect(tokens).toEqual(toyAnswer(prompt(12), 600));
    expect(network.routes.length).toBeGreaterThan(1);
    expect(new Set(network.releases.map(({ outcome }) => outcome))).toEqual(new Set(['done']));
  });

  it('gives back a session that rests too long and takes another for the next answer', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(5), 5));
    await network.clock.advance(150_000);
    expect(network.openSessions).toBe(0);
    expect(network.releases).toMatchObject([{ outcome: 'done', faults: [] }]);
    expect((await network.ask(conversation, greedy(prompt(8), 5))).tokens).toEqual(toyAnswer(prompt(8), 5));
  });

  it('gives back a session that others wait for, but none in which it answers', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    const conversation = requester.openConversation(network.model);
    const reclaim = () => control.say({ type: 'reclaim', session: network.routes.at(-1)!.session });
    await network.ask(conversation, greedy(prompt(5), 5), ({ type }) => type === 'token' && reclaim());
    expect(network.releases).toEqual([]);
    reclaim();
    await network.clock.advance(1_000);
    expect(network.openSessions).toBe(0);
    expect(network.releases).toMatchObject([{ outcome: 'done', faults: [], positions: 9 }]);
    reclaim();
    expect((await network.ask(conversation, greedy(prompt(8), 5))).tokens).toEqual(toyAnswer(prompt(8), 5));
  });

  it('tells of the positions that its volunteers count themselves', async () => {
    const network = new ToyNetwork(2);
    network.shadows = 1;
    const { control, requester } = network.requester();
    const conversation = requester.openConversation(network.model);
    const told = () => control.sent.findLast(({ type }) => type === 'rest');
    for (const length of [50, 90]) {
      await network.ask(conversation, greedy(prompt(length), 10));
      const counted = network.volunteers.map(({ host }) => host.counts.positions);
      expect(new Set(counted)).toEqual(new Set([(told() as { positions: number }).positions]));
    }
  });

  it('makes one answer at a time', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    const first = collect(conversation, { ...greedy(prompt(5), 5), signal: never });
    expect(await codeOfAsync(collect(conversation, { ...greedy(prompt(5)), signal: never }))).toBe('unsupported');
    expect((await network.until(first)).tokens).toEqual(toyAnswer(prompt(5), 5));
  });

  it('refuses a prompt that the model cannot take', async () => {
    const network = new ToyNetwork();
    const conversation = network.conversation();
    expect(await codeOfAsync(network.ask(conversation, greedy(prompt(2048))))).toBe('too-long');
    expect(await codeOfAsync(network.ask(conversation, greedy([])))).toBe('bad-message');
    expect(network.routes).toHaveLength(0);
  });

  it('shares volunteers with other conversations without mixing them up', async () => {
    const network = new ToyNetwork(1, 8);
    const prompts = [prompt(3), prompt(33), prompt(90), prompt(64)];
    const answers = prompts.map((each, i) => {
      const { requester } = network.requester(`requester ${i}`);
      const conversation = requester.openConversation({ manifest: toyManifest, digest: toyDigest });
      return collect(conversation, { ...greedy(each), signal: never });
    });
    const results = await network.until(Promise.all(answers));
    expect(results.map(({ tokens }) => tokens)).toEqual(prompts.map((each) => toyAnswer(each, 24)));
  });
});

describe('a session whose messages are disturbed', () => {
  const rowsOnly = (message: PeerMessage) => message.type === 'rows' || message.type === 'cut';

  it('answers rightly whatever is delayed, reordered and doubled, on one route', async () => {
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.integer({ min: 1, max: 40 })), fc.integer(), async (delays, salt) => {
        const network = new ToyNetwork();
        const next = () => delays.next().value as number;
        network.links.fate = (message) => {
          if (!rowsOnly(message)) return [1];
          return (next() + salt) % 3 === 0 ? [next(), next()] : [next()];
        };
        const conversation = network.conversation();
        for (const each of [prompt(100), prompt(100).slice(0, 50), [...prompt(100).slice(0, 50), 4, 5]]) {
          expect((await network.ask(conversation, greedy(each, 6))).tokens).toEqual(toyAnswer(each, 6));
        }
        expect(network.routes).toHaveLength(1);
      }),
      { numRuns: 15 },
    );
  });

  it('answers rightly, over another route where need be, when messages are lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 3 }),
        async (lost) => {
          const network = new ToyNetwork(4);
          let count = 0;
          network.links.fate = (message) => (rowsOnly(message) && lost.includes(count++) ? [] : [1]);
          const { tokens } = await network.ask(network.conversation(), greedy(prompt(130), 10));
          expect(tokens).toEqual(toyAnswer(prompt(130), 10));
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('a session whose volunteers leave', () => {
  it.each([0, 1, 2])('goes on with the same tokens when stage %i leaves at any moment', async (stage) => {
    const whole = toyAnswer(prompt(70), 12);
    for (let atMs = 0; atMs < 130; atMs += 3) {
      const network = new ToyNetwork(2);
      const leaving = network.of(stage)[0]!;
      network.clock.setTimer(() => network.links.kill(leaving.id), atMs);
      const conversation = network.conversation();
      const { tokens, events } = await network.ask(conversation, greedy(prompt(70), 12));
      expect(tokens, `left after ${atMs} ms`).toEqual(whole);
      for (const event of events) if (event.type === 'rerouted') expect(event.volunteer).toBe(leaving.id);
      expect(network.releases.flatMap(({ faults }) => faults.map(({ volunteer }) => volunteer)).length).toBeLessThan(2);
    }
  });

  it('samples the same tokens after it was rerouted', async () => {
    const network = new ToyNetwork(2);
    const sampling = { temperature: 1, topP: 0.95, seed: 99 };
    const { tokens, events } = await network.ask(
      network.conversation(),
      { ...greedy(prompt(20), 30), sampling },
      (event) => {
        if (event.type === 'token' && event.position === 25) network.links.kill(network.of(1)[0]!.id);
      },
    );
    expect(typesOf(events)).toContain('rerouted');
    expect(tokens).toEqual(toyAnswer(prompt(20), 30, sampling));
  });

  it('hears from a volunteer that is stuck, and that has nobody in its place, that it is', async () => {
    const network = new ToyNetwork();
    const stuck = network.of(1)[0]!;
    stuck.compute.runMs = 10_000_000;
    network.clock.setTimer(() => (stuck.compute.runMs = 2), RUN_TIMEOUT_MS);
    const { tokens } = await network.ask(network.conversation(), greedy(prompt(20), 5));
    expect(tokens).toEqual(toyAnswer(prompt(20), 5));
    expect(network.releases[0]).toMatchObject({
      outcome: 'failed',
      faults: [{ volunteer: stuck.id, code: 'timeout' }],
    });
  });

  it('takes another route, and blames nobody on record, when a volunteer swallows what it gets', async () => {
    const network = new ToyNetwork(2);
    const silent = network.of(1)[0]!.id;
    network.links.fate = (message, from) => (message.type === 'rows' && from === silent ? [] : [1]);
    const { tokens } = await network.ask(network.conversation(), greedy(prompt(20), 5));
    expect(tokens).toEqual(toyAnswer(prompt(20), 5));
    expect(network.releases[0]).toMatchObject({ outcome: 'failed', faults: [] });
  });

  it('uses those who failed once when there is nobody else', async () => {
    const network = new ToyNetwork();
    let isCut = false;
    const { tokens } = await network.ask(network.conversation(), greedy(prompt(20), 10), (event) => {
      if (event.type !== 'token' || isCut) return;
      isCut = true;
      network.of(0)[0]!.links.cutTo(network.of(1)[0]!.id);
    });
    expect(tokens).toEqual(toyAnswer(prompt(20), 10));
    expect(network.routes).toHaveLength(2);
  });

  it('gives up with the last fault after three other routes', async () => {
    const network = new ToyNetwork(6);
    network.links.fate = (message, _from, to) => {
      if (message.type === 'rows') queueMicrotask(() => network.links.kill(to));
      return [1];
    };
    expect(await codeOfAsync(network.ask(network.conversation(), greedy(prompt(20))))).toBe('link-lost');
    expect(network.routes).toHaveLength(4);
  });

  it('says that nobody holds a part of the model when the last holder has left', async () => {
    const network = new ToyNetwork();
    const failed = network.ask(network.conversation(), greedy(prompt(20)), (event) => {
      if (event.type === 'token') network.links.kill(network.of(1)[0]!.id);
    });
    expect(await codeOfAsync(failed)).toBe('no-coverage');
  });

  it('is over for the volunteers when the requester leaves', async () => {
    const network = new ToyNetwork();
    const { id, requester } = network.requester();
    const conversation = requester.openConversation({ manifest: toyManifest, digest: toyDigest });
    await network.ask(conversation, greedy(prompt(5), 5));
    network.links.kill(id);
    await network.clock.advance(100);
    expect(network.openSessions).toBe(0);
  });
});

describe('a requester whose server', () => {
  const model = { manifest: toyManifest, digest: toyDigest };

  it('is away when asked gets its route when the server is back', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    control.state = { type: 'reconnecting', attempt: 1, delayMs: 500, reason: 'restart' };
    const answer = collect(requester.openConversation(model), { ...greedy(prompt(5), 5), signal: never });
    await network.clock.advance(500);
    control.become({ type: 'open' });
    expect((await network.until(answer)).tokens).toEqual(toyAnswer(prompt(5), 5));
  });

  it('was away while an answer ran hears which sessions still run', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    const conversation = requester.openConversation(model);
    const { tokens } = await network.ask(conversation, greedy(prompt(5), 3), (event) => {
      if (event.type !== 'routed') return;
      control.become({ type: 'reconnecting', attempt: 1, delayMs: 500, reason: 'restart' });
      control.become({ type: 'open' });
    });
    expect(tokens).toEqual(toyAnswer(prompt(5), 3));
    const session = network.routes[0]!.session;
    expect(control.sent.slice(-2)).toMatchObject([
      { type: 'resume', sessions: [session] },
      { type: 'rest', session },
    ]);
    conversation.close();
    control.become({ type: 'open' });
    expect(control.sent.at(-1)).toEqual({ type: 'resume', sessions: [] });
  });

  it('is gone for good fails with server-lost, while a running answer goes on', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    const conversation = requester.openConversation(model);
    const { tokens } = await network.ask(conversation, greedy(prompt(5), 10), (event) => {
      if (event.type === 'token') control.become({ type: 'closed', code: 'wrong-peer', reason: 'another key' });
    });
    expect(tokens).toEqual(toyAnswer(prompt(5), 10));
    expect(await codeOfAsync(network.ask(requester.openConversation(model), greedy(prompt(5))))).toBe('server-lost');
  });

  it('never answers fails with timeout', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    control.onSend = () => undefined;
    expect(await codeOfAsync(network.ask(requester.openConversation(model), greedy(prompt(5))))).toBe('timeout');
    expect(control.sent.at(-1)).toMatchObject({ type: 'abandon' });
  });

  it('tells its place in the queue passes it on', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    const serve = control.onSend;
    control.onSend = (message) => {
      if (message.type !== 'route') return serve(message);
      control.say({ type: 'queued', request: message.request, position: 2 });
      network.clock.setTimer(() => serve(message), 40_000);
    };
    const { events } = await network.ask(requester.openConversation(model), greedy(prompt(5), 2));
    expect(typesOf(events).slice(0, 2)).toEqual(['queued', 'routed']);
  });

  it('gives a route too late gets it back', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    const serve = control.onSend;
    control.onSend = (message) => {
      if (message.type === 'route') network.clock.setTimer(() => serve(message), 1000);
      else serve(message);
    };
    const abort = new AbortController();
    network.clock.setTimer(() => abort.abort(), 500);
    await network.ask(requester.openConversation(model), greedy(prompt(5)), undefined, abort.signal);
    await network.clock.advance(1000);
    expect(network.releases).toMatchObject([{ session: network.routes[0]!.session, outcome: 'cancelled' }]);
  });
});
