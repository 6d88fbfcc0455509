import { describe, expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { checkedNetwork, only, prompt, scaled, standing } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import type { ToyNetwork } from '../../support/toy-network.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});

/** A network in which the shadow of stage 1 lies from the start. */
function withLyingShadow(replicas: number) {
  const network = checkedNetwork(['referee'], replicas);
  const [honest, liar] = network.of(1);
  liar!.compute.tamper = scaled(-1, 0);
  const referee = network.of(1).find(({ reserve }) => reserve === 'referee')!;
  return { network, honest: honest!, liar: liar!, referee };
}

/** The server knows nobody but those it named first. */
function withoutExclusion(network: ToyNetwork): void {
  const route = network.route.bind(network);
  network.route = (requester, capacity, _exclude, shadows) => route(requester, capacity, [], shadows);
}

const tiers = (events: readonly AnswerEvent[]) => only(events, 'checked').map(({ check }) => check.tier);

describe('a stage whose only shadow was wrong', () => {
  it.each([20, 40, 100])(
    'gets another one, who checks all that came after it (a prompt of %i tokens)',
    async (length) => {
      const { network, liar, referee } = withLyingShadow(3);
      // Long enough for what was on its way to be closed as a span of its own.
      referee.compute.runMs = 3_000;
      const { events } = await network.ask(network.conversation(), greedy(prompt(length), 40));
      expect(standing(events, length)).toEqual(toyAnswer(prompt(length), 40));
      expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, role: 'shadow', isProven: true }]);
      const [rerouted] = only(events, 'rerouted');
      expect(rerouted).toMatchObject({ volunteer: liar.id });
      expect(rerouted!.from).toBeGreaterThanOrEqual(Math.max(length, 33));
      expect(tiers(events)[0]).toBe('settled');
      expect(tiers(events)).not.toContain('unchecked');
      expect(events.at(-1)).toMatchObject({ tier: 'settled', counts: { settled: 1, unchecked: 0, disputed: 0 } });
    },
  );

  it('stays as it is where nobody else can be found: the answer ends unchecked', async () => {
    const { network, liar } = withLyingShadow(2);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
    expect(events.at(-1)).toMatchObject({ reason: 'length', tier: 'unchecked' });
    expect(network.routes).toHaveLength(2);
  });

  it('stays as it is where the server names the same one again and again', async () => {
    const { network } = withLyingShadow(2);
    withoutExclusion(network);
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(events.at(-1)).toMatchObject({ reason: 'length', tier: 'unchecked' });
    expect(tiers(events)).toEqual(['settled', 'unchecked']);
    expect(network.routes.length).toBeLessThanOrEqual(5);
  });

  it('is of no account once the answer is whole', async () => {
    const { network, liar } = withLyingShadow(3);
    const { events } = await network.ask(network.conversation(), greedy(prompt(20), 8));
    expect(standing(events, 20)).toEqual(toyAnswer(prompt(20), 8));
    expect(only(events, 'rerouted')).toEqual([]);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
    expect(events.at(-1)).toMatchObject({ reason: 'length', tier: 'settled', usage: { completionTokens: 8 } });
    expect(network.routes).toHaveLength(1);
    // Those who carry the verdict have signed for it.
    const { predicate, verification } = await receiptOf(evidenceOf(events));
    expect([predicate.spans[0]!.tier, failedChecks(verification)]).toEqual(['settled', []]);
  });

  it('has the next answer made over another route', async () => {
    const { network, liar } = withLyingShadow(3);
    const conversation = network.conversation();
    const first = await network.ask(conversation, greedy(prompt(20), 8));
    const chat = [...prompt(20), ...standing(first.events, 20), 5];
    const { events } = await network.ask(conversation, greedy(chat, 8));
    expect(standing(events, chat.length)).toEqual(toyAnswer(chat, 8));
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
    expect(JSON.stringify(network.routes[1])).not.toContain(liar.id);
  });
});

describe('a session that is given up', () => {
  it('before all of it is open is fed nothing', async () => {
    const network = checkedNetwork([], 3);
    const leaving = network.of(0)[1]!;
    network.links.fate = (message) => {
      if (message.type === 'ready') network.links.kill(leaving.id);
      return [1];
    };
    const { events } = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(only(events, 'routed')).toHaveLength(1);
    const first = network.routes[0]!.session;
    const ofFirst = network.links.log.filter(({ message }) => 'session' in message && message.session === first);
    expect(ofFirst.filter(({ message }) => message.type === 'rows')).toEqual([]);
  });

  it('is told nothing after it was closed', async () => {
    const { network } = withLyingShadow(3);
    const { id, requester } = network.requester();
    const conversation = requester.openConversation(network.model);
    await network.ask(conversation, greedy(prompt(40)));
    const closed = new Set<SessionId>();
    for (const { from, message } of network.links.log) {
      if (from !== id || !('session' in message)) continue;
      if (message.type === 'rows') expect(closed).not.toContain(message.session);
      // The shadow that was wrong is sent away while the session goes on.
      if (message.type === 'close' && message.reason !== 'the check failed') closed.add(message.session);
    }
    expect(closed.size).toBeGreaterThan(0);
  });
});

describe('a complete answer', () => {
  it('waits for a settlement that takes longer than its last verdicts may', async () => {
    const { network, liar, referee } = withLyingShadow(4);
    network.links.fate = (message, from) => (from === referee.id && message.type === 'commit' ? [] : [1]);
    const { events } = await network.ask(network.conversation(), greedy(prompt(20), 8));
    expect(standing(events, 20)).toEqual(toyAnswer(prompt(20), 8));
    expect(only(events, 'settling')).toHaveLength(2);
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
    expect(network.routes[1]!.stages[1]!.shadows[0]!.id).not.toBe(liar.id);
  });

  it('goes on for long after the end of a lease', async () => {
    const network = checkedNetwork([]);
    network.leaseMs = 60_000;
    for (const { compute } of network.volunteers) compute.runMs = 1_000;
    const { tokens, events } = await network.ask(network.conversation(), greedy(prompt(20), 40));
    expect(tokens).toEqual(toyAnswer(prompt(20), 40));
    expect(events.at(-1)).toMatchObject({ tier: 'checked' });
    expect(network.routes.length).toBeGreaterThan(2);
  });
});
