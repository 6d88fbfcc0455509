import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { LAST_RECORD_MS } from '#shared/limits.ts';
import { checkedNetwork, only, prompt, standing } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import type { ToyNetwork } from '../../support/toy-network.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

const request = { promptTokens: prompt(10), maxNewTokens: 6, sampling: GREEDY };

/** An answer in which these sign nothing at its end. */
async function ask(network: ToyNetwork, withholders: readonly PeerId[], asked = request) {
  network.links.fate = (message, from) => (message.type === 'recorded' && withholders.includes(from) ? [] : [1]);
  const { shadows } = network;
  const { control, requester } = network.requester();
  const conversation = requester.openConversation(network.model, { shadows });
  const { events } = await network.ask(conversation, asked);
  const told = control.sent.flatMap((message) => ('faults' in message ? message.faults : []));
  return { events, told, conversation, evidence: evidenceOf(events) };
}

const answerTo = ({ promptTokens, maxNewTokens }: typeof request) => toyAnswer([...promptTokens], maxNewTokens);

describe('a record that is withheld', () => {
  it.each([
    ['primary', 0, request],
    ['shadow', 1, request],
    ['shadow', 1, { ...request, maxNewTokens: 1 }],
  ] as const)('of a %s: others sign the answer, which stays as it is', async (_role, at, asked) => {
    const network = checkedNetwork([], 3);
    const { id } = network.of(1)[at]!;
    const { events, evidence, told, conversation } = await ask(network, [id], asked);
    expect(standing(events, asked.promptTokens.length)).toEqual(answerTo(asked));
    expect(only(events, 'token')).toHaveLength(answerTo(asked).length);
    expect(only(events, 'fault')).toEqual([]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: id, from: evidence.tokens.length + 1 }]);
    expect(told).toContainEqual({ volunteer: id, code: 'timeout' });
    expect(evidence.route.stages[1]!.primary.id).not.toBe(id);
    const { predicate, verification } = await receiptOf(evidence);
    expect(failedChecks(verification)).toEqual([]);
    expect(predicate.verdict.tier).toBe('checked');
    expect(network.routes).toHaveLength(2);
    // The next question goes on where the rows are.
    const next = await network.ask(conversation, { ...request, promptTokens: [...evidence.tokens, 3] });
    expect(network.routes).toHaveLength(2);
    expect(standing(next.events, evidence.tokens.length + 1)).toEqual(toyAnswer([...evidence.tokens, 3], 6));
  });

  it('of an answer that the model ends itself is made up for, too', async () => {
    const network = checkedNetwork([], 3);
    const length = [...Array(60).keys()].find((at) => toyAnswer(prompt(at + 1), 40).length < 40)! + 1;
    const asked = { ...request, promptTokens: prompt(length), maxNewTokens: 40 };
    const { events, evidence } = await ask(network, [network.of(2)[1]!.id], asked);
    expect(events.at(-1)).toMatchObject({ reason: 'stop', tier: 'checked' });
    expect(standing(events, length)).toEqual(answerTo(asked));
    const { predicate, verification } = await receiptOf(evidence);
    expect([predicate.verdict.tier, failedChecks(verification)]).toEqual(['checked', []]);
  });

  it('of one shadow is made up for by the other, at once', async () => {
    const network = checkedNetwork([], 3);
    network.shadows = 2;
    const { events, evidence } = await ask(network, [network.of(1)[1]!.id]);
    expect(only(events, 'rerouted')).toEqual([]);
    expect((await receiptOf(evidence)).predicate.verdict.tier).toBe('checked');
  });

  it('is missing where nobody else is there: the answer waits no longer than for it', async () => {
    const network = checkedNetwork([], 2);
    const { events, evidence, told } = await ask(network, [network.of(1)[1]!.id]);
    expect(only(events, 'rerouted')).toEqual([]);
    expect(told).toContainEqual({ volunteer: network.of(1)[1]!.id, code: 'timeout' });
    const { predicate, verification } = await receiptOf(evidence);
    expect([predicate.verdict.tier, failedChecks(verification)]).toEqual(['unchecked', []]);
    expect(network.clock.nowMs()).toBeLessThan(LAST_RECORD_MS + 1_000);
  });

  it.each<[string, (network: ToyNetwork) => void]>([
    ['withholds its own', () => undefined],
    ['leaves', (network) => network.links.kill(network.of(1)[2]!.id)],
    ['computes nothing any more', (network) => (network.of(1)[2]!.compute.run = () => new Promise(() => undefined))],
  ])('costs the answer a few seconds and nothing else where who takes its place %s', async (_what, hinder) => {
    const network = checkedNetwork([], 3);
    const [, shadow, third] = network.of(1);
    const { events, evidence } = await (async () => {
      const begun = ask(network, [shadow!.id, third!.id]);
      const before = network.links.fate;
      network.links.fate = (message, from, to) => {
        if (message.type === 'open' && to === third!.id) hinder(network);
        return before(message, from, to);
      };
      return begun;
    })();
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked', reason: 'length' });
    expect(standing(events, 10)).toEqual(answerTo(request));
    expect(failedChecks((await receiptOf(evidence)).verification)).toEqual([]);
    expect(network.clock.nowMs()).toBeLessThan(LAST_RECORD_MS + 8_000);
  });
});
