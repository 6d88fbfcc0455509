import { describe, expect, it } from 'vitest';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { checkedNetwork, only, prompt, scaled, standing, type EventOf } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import type { ToyNetwork, ToyVolunteer } from '../../support/toy-network.ts';

const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});
const spansOf = (events: readonly AnswerEvent[]) =>
  only(events, 'checked').map(({ check }) => [check.start, check.end]);

describe('a checked answer', () => {
  it.each([1, 31, 32, 33, 70])(
    'to a prompt of %i tokens is that of the uncut model, every span checked',
    async (length) => {
      const network = checkedNetwork();
      const { tokens, events } = await network.ask(network.conversation(), greedy(prompt(length)));
      expect(tokens).toEqual(toyAnswer(prompt(length), 24));
      const end = events.at(-1) as EventOf<'end'>;
      const spans = only(events, 'checked').map(({ check }) => check);
      expect(end).toMatchObject({ type: 'end', tier: 'checked', counts: { checked: spans.length, unchecked: 0 } });
      expect(spans[0]!.start).toBe(0);
      spans.slice(1).forEach(({ start }, i) => expect(start).toBe(spans[i]!.end));
      expect(spans.at(-1)!.end).toBeGreaterThanOrEqual(length + tokens.length - 1);
      for (const { stages } of spans) for (const { findings } of stages) expect(findings).toHaveLength(1);
      expect(network.replays).toEqual([]);
    },
  );

  it('tells the server how it went', async () => {
    const network = checkedNetwork();
    const { control, requester } = network.requester();
    const conversation = requester.openConversation(network.model);
    const { events } = await network.ask(conversation, greedy(prompt(40)));
    conversation.close();
    await network.clock.advance(50);
    const { length } = only(events, 'checked');
    const release = control.sent.at(-1);
    expect(release).toMatchObject({ type: 'release', faults: [], checks: { checked: length, unchecked: 0 } });
    expect(network.openSessions).toBe(0);
    expect(network.clock.pendingTimers).toBe(0);
  });

  it('tells the server so at the end of every answer, for the page may be closed by then', async () => {
    const network = checkedNetwork();
    const { control, requester } = network.requester();
    const conversation = requester.openConversation(network.model);
    const counted = [];
    for (const maxNewTokens of [4, 6]) {
      const { events } = await network.ask(conversation, greedy(prompt(40), maxNewTokens));
      counted.push(only(events, 'checked').length);
    }
    const rests = control.sent.filter((message) => message.type === 'rest');
    const [first, second] = counted as [number, number];
    expect(rests).toMatchObject([
      { session: network.routes[0]!.session, tokens: 4, checks: { checked: first } },
      { session: network.routes[0]!.session, tokens: 10, checks: { checked: first + second } },
    ]);
  });

  it('without shadows is unchecked, and nothing is sent for a check', async () => {
    const network = checkedNetwork();
    const { events } = await network.ask(network.conversation({ shadows: 0 }), greedy(prompt(40)));
    const { counts, tier } = events.at(-1) as EventOf<'end'>;
    expect(tier).toBe('unchecked');
    expect(counts).toMatchObject({ checked: 0, unchecked: only(events, 'checked').length });
    expect(spansOf(events)[0]).toEqual([0, 32]);
    const check = new Set(['audit', 'check', 'commit', 'challenge', 'reveal']);
    expect(network.links.log.filter(({ message }) => check.has(message.type))).toEqual([]);
  });

  it('goes on in the same session, with a cut, and has every new span checked', async () => {
    const network = checkedNetwork();
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(50), 10));
    const edited = [...prompt(50).slice(0, 37), 3, 9, 27];
    const { tokens, events } = await network.ask(conversation, greedy(edited, 10));
    expect(tokens).toEqual(toyAnswer(edited, 10));
    expect(events.at(-1)).toMatchObject({ tier: 'checked', counts: { unchecked: 0 } });
    expect(spansOf(events)[0]).toEqual([37, 40 + tokens.length - 1]);
    expect(network.routes).toHaveLength(1);
  });

  it('ends at the token that makes it complete, once that is checked', async () => {
    const network = checkedNetwork();
    const whole = toyAnswer(prompt(9), 24);
    const conversation = network.conversation();
    const request = { ...greedy(prompt(9)), isComplete: (answer: readonly number[]) => answer.length === 5 };
    const { tokens, events } = await network.ask(conversation, request);
    expect(tokens).toEqual(whole.slice(0, 5));
    expect(events.at(-1)).toMatchObject({ reason: 'stop', tier: 'checked' });
    expect(spansOf(events).at(-1)![1]).toBe(9 + 4);
  });

  it('that is cancelled ends at once, the rest of it unchecked', async () => {
    const network = checkedNetwork();
    const abort = new AbortController();
    let atMs = 0;
    const stop = (event: AnswerEvent) => {
      if (event.type !== 'token' || event.position !== 45) return;
      atMs = network.clock.nowMs();
      abort.abort();
    };
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)), stop, abort.signal);
    expect(events.at(-1)).toMatchObject({ reason: 'cancelled', tier: 'unchecked', counts: { unchecked: 1 } });
    expect(network.clock.nowMs()).toBe(atMs);
  });
});

// Each of the first ones makes fifteen answers.
describe('a checked answer whose replicas leave', { timeout: 60_000 }, () => {
  it.each([0, 1, 2])('takes another shadow when that of stage %i leaves at any moment', async (stage) => {
    const whole = toyAnswer(prompt(70), 12);
    for (let atMs = 0; atMs < 240; atMs += 16) {
      const network = checkedNetwork([], 3);
      const leaving = network.of(stage)[1]!;
      network.clock.setTimer(() => network.links.kill(leaving.id), atMs);
      const { events } = await network.ask(network.conversation(), greedy(prompt(70), 12));
      expect(standing(events, 70), `left after ${atMs} ms`).toEqual(whole);
      for (const { volunteer } of only(events, 'rerouted')) expect(volunteer).toBe(leaving.id);
      for (const fault of only(events, 'fault'))
        expect(fault).toMatchObject({ volunteer: leaving.id, isProven: false });
      expect(events.at(-1)).toMatchObject({ counts: { disputed: 0 } });
    }
  });

  it.each([0, 1, 2])('goes on with every token that it had when the primary of stage %i leaves', async (stage) => {
    const whole = toyAnswer(prompt(70), 12);
    for (let atMs = 0; atMs < 240; atMs += 16) {
      const network = checkedNetwork([], 3);
      const leaving = network.of(stage)[0]!;
      network.clock.setTimer(() => network.links.kill(leaving.id), atMs);
      const { events } = await network.ask(network.conversation(), greedy(prompt(70), 12));
      expect(standing(events, 70), `left after ${atMs} ms`).toEqual(whole);
      expect(events.at(-1)).toMatchObject({ tier: 'checked' });
      let end = 70;
      for (const event of events) {
        if (event.type === 'token') end = event.position + 1;
        // The last token of an answer is drawn again, for it is what ends it.
        if (event.type === 'rerouted') expect(event.from).toBeGreaterThanOrEqual(Math.min(end, 81));
      }
    }
  });

  it('ends unchecked where nobody is left who could check it', async () => {
    const network = checkedNetwork([], 2);
    const leaving = network.of(1)[1]!;
    const { events } = await network.ask(network.conversation(), greedy(prompt(20)), (event) => {
      if (event.type === 'token' && event.position === 25) network.links.kill(leaving.id);
    });
    expect(standing(events, 20)).toEqual(toyAnswer(prompt(20), 24));
    expect(events.at(-1)).toMatchObject({ tier: 'unchecked' });
    // Another is sought in its place, and once more when the answer is complete.
    expect(network.routes).toHaveLength(3);
  });
});

describe('a difference', () => {
  const ask = async (network: ToyNetwork, count = 40) => {
    const result = await network.ask(network.conversation(), greedy(prompt(40), count));
    expect(standing(result.events, 40)).toEqual(toyAnswer(prompt(40), count));
    return result.events;
  };
  const liar = (network: ToyNetwork, stage: number, index: number): ToyVolunteer => network.of(stage)[index]!;

  it.each([0, 1])(
    'by a lying primary of stage %i is settled: it is named, and the answer is the honest one',
    async (stage) => {
      const network = checkedNetwork();
      network.addVolunteer(stage);
      const bad = liar(network, stage, 0);
      bad.compute.tamper = scaled(-1, 50);
      const events = await ask(network);
      expect(only(events, 'settling').map(({ role }) => role)).toEqual(['arbiter', 'referee']);
      expect(only(events, 'fault')).toMatchObject([
        { volunteer: bad.id, stage, role: 'primary', code: 'disagreement', isProven: true },
      ]);
      expect(only(events, 'rerouted')).toMatchObject([{ volunteer: bad.id }]);
      expect(events.at(-1)).toMatchObject({ tier: 'checked' });
      expect(network.reports).toMatchObject([{ accused: bad.id, reason: 'disagreement' }]);
      expect(network.releases.find(({ faults }) => faults.length > 0)).toMatchObject({
        outcome: 'failed',
        faults: [{ volunteer: bad.id, code: 'check-failed' }],
      });
    },
  );

  it('of logits by a lying head is settled in the same way', async () => {
    const network = checkedNetwork();
    network.addVolunteer(2);
    const bad = liar(network, 2, 0);
    bad.compute.tamper = (rows) => {
      const bytes = rows.bytes.slice();
      const view = new DataView(bytes.buffer);
      // The first two candidates change places.
      if (rows.start >= 50 && rows.count > 0) {
        const [first, second] = [view.getUint32(4, true), view.getUint32(12, true)];
        view.setUint32(4, second, true);
        view.setUint32(12, first, true);
      }
      return { ...rows, bytes };
    };
    const events = await ask(network);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: bad.id, stage: 2, role: 'primary', isProven: true }]);
  });

  it('by a shadow that accuses an honest primary costs the shadow its place', async () => {
    const network = checkedNetwork();
    network.addVolunteer(1);
    const [honest, bad] = [liar(network, 1, 0), liar(network, 1, 1)];
    bad.compute.tamper = scaled(-1, 0);
    const events = await ask(network);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: bad.id, role: 'shadow', isProven: true }]);
    expect(events.some((event) => JSON.stringify(event).includes(`"volunteer":"${honest.id}"`))).toBe(false);
    expect(only(events, 'checked')[0]!.check).toMatchObject({
      tier: 'settled',
      stages: { 1: { arbiter: { role: 'referee' } } },
    });
    expect((events.at(-1) as EventOf<'end'>).counts).toMatchObject({ settled: 1, unchecked: 0, disputed: 0 });
    expect(network.releases.flatMap(({ faults }) => faults.map(({ volunteer }) => volunteer))).toEqual([bad.id]);
  });

  it('is settled by the referee alone where there is no arbiter', async () => {
    const network = checkedNetwork(['referee']);
    network.addVolunteer(1);
    const bad = liar(network, 1, 0);
    bad.compute.tamper = scaled(-1, 0);
    const events = await ask(network);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: bad.id, isProven: true }]);
    expect(network.replays.map(({ role }) => role)).toEqual(['referee']);
  });

  it('is settled by two of three where there is no referee, without proof', async () => {
    const network = checkedNetwork(['arbiter']);
    network.addVolunteer(1);
    const bad = liar(network, 1, 0);
    bad.compute.tamper = scaled(-1, 0);
    const events = await ask(network);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: bad.id, role: 'primary', isProven: false }]);
    expect(network.reports).toEqual([]);
  });

  it('that nobody can settle has the answer made by others', async () => {
    const network = checkedNetwork([], 4);
    liar(network, 1, 0).compute.tamper = scaled(-1, 0);
    const events = await ask(network);
    expect(only(events, 'fault')).toEqual([]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null }]);
    expect(events.at(-1)).toMatchObject({ tier: 'checked', counts: { disputed: 0 } });
    expect(network.routes[1]!.stages[1]!.primary.id).toBe(liar(network, 1, 2).id);
  });

  it('that those who could settle it have no slot free for has the answer made by others', async () => {
    const network = checkedNetwork([], 4);
    for (const reserve of ['arbiter', 'referee'] as const) network.addVolunteer(1, 0, reserve);
    const pair = [liar(network, 1, 0), liar(network, 1, 1)];
    pair[0]!.compute.tamper = scaled(-1, 50);
    const events = await ask(network);
    expect(network.replays.map(({ role }) => role)).toEqual(['arbiter', 'referee']);
    expect(only(events, 'fault')).toEqual([]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null }]);
    for (const { id } of pair) expect(JSON.stringify(network.routes[1])).not.toContain(id);
    expect(events.at(-1)).toMatchObject({ tier: 'checked', counts: { disputed: 0 } });
  });

  it('that nobody can settle, and nobody else can take the place of the two, ends the answer', async () => {
    const network = checkedNetwork([]);
    liar(network, 1, 0).compute.tamper = scaled(-1, 0);
    const events: AnswerEvent[] = [];
    const asked = network.ask(network.conversation(), greedy(prompt(40)), (event) => events.push(event));
    await expect(asked).rejects.toMatchObject({ code: 'check-failed' });
    expect(events.at(-1)).toMatchObject({ type: 'checked', check: { start: 0, end: 32, tier: 'disputed' } });
    expect(network.routes).toHaveLength(4);
    // Nobody is known to be at fault, so that the server hears of sessions that failed, and of no fault.
    expect(network.releases.map(({ outcome, faults }) => [outcome, faults])).toEqual(new Array(4).fill(['failed', []]));
  });

  it('within the grey zone is left to an arbiter who agrees with the primary', async () => {
    const network = checkedNetwork();
    for (const volunteer of network.of(0)) volunteer.numericClass = 'webgpu/google/swiftshader';
    liar(network, 0, 1).compute.tamper = scaled(1.0002, 0);
    const events = await ask(network, 4);
    expect(only(events, 'settling').every(({ role }) => role === 'arbiter')).toBe(true);
    expect(only(events, 'fault')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ tier: 'settled' });
    expect(network.reports).toEqual([]);
  });
});
