import { describe, expect, it } from 'vitest';
import { only, prompt, standing } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import { ToyNetwork } from '../../support/toy-network.ts';

const greedy = (promptTokens: readonly number[], maxNewTokens: number) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});

describe('a conversation', () => {
  it.each([
    ['rests too long', 15 * 60_000],
    ['rests until its lease ends', 40_000],
  ])('leaves nobody out of the next route for a session that %s', async (_, leaseMs) => {
    const network = new ToyNetwork(2);
    [network.shadows, network.leaseMs] = [1, leaseMs];
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(5), 5));
    await network.clock.advance(leaseMs > 100_000 ? 150_000 : 35_000);
    expect(network.releases).toMatchObject([{ outcome: 'done', faults: [] }]);
    const { events } = await network.ask(conversation, greedy(prompt(8), 5));
    expect(network.routes[1]!.stages).toEqual(network.routes[0]!.stages);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('blames nobody where answers are given up before their logits come, and the third keeps those rows', async () => {
    const network = new ToyNetwork(2);
    network.shadows = 1;
    const conversation = network.conversation();
    const long = prompt(40);
    // Logits take a while from the last stage to the requester, and both answers are given up before any come.
    network.links.fate = (message) => [message.type === 'rows' && message.rows.kind === 'logits' ? 400 : 1];
    for (const length of [20, 30]) {
      const abort = new AbortController();
      network.clock.setTimer(() => abort.abort(), 100);
      await network.ask(conversation, greedy(long.slice(0, length), 8), undefined, abort.signal);
    }
    const edited = [...long.slice(0, 25), 5, 6];
    const { events } = await network.ask(conversation, greedy(edited, 8));
    expect(standing(events, edited.length)).toEqual(toyAnswer(edited, 8));
    expect(only(events, 'fault')).toEqual([]);
    expect(network.releases.flatMap(({ faults }) => faults)).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('does not fail for a first volunteer that says of one after the other that it is why nothing goes on', async () => {
    const network = new ToyNetwork(6);
    network.shadows = 1;
    const teller = network.of(0)[0]!.id;
    network.links.rewrite = (message, from) => {
      if (from !== teller || message.type !== 'commit') return message;
      const { session, stages } = network.routes.at(-1)!;
      const volunteer = stages[2]!.primary.id;
      return { type: 'fault', session, stage: 2, code: 'timeout', message: 'a run took too long', volunteer };
    };
    const { events } = await network.ask(network.conversation(), greedy(prompt(20), 5));
    expect(standing(events, 20)).toEqual(toyAnswer(prompt(20), 5));
    expect(network.routes).toHaveLength(3);
    expect(network.routes[2]!.stages[0]!.primary.id).not.toBe(teller);
  });
});
