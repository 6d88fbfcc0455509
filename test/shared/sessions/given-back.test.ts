import { describe, expect, it } from 'vitest';
import { prompt } from '../../support/checked-network.ts';
import { toyAnswer } from '../../support/toy-model.ts';
import { ToyNetwork } from '../../support/toy-network.ts';
import { greedy } from '../../support/toy-stalls.ts';

describe('a requester between its answers', () => {
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
});
