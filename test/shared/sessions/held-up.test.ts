import { describe, expect, it } from 'vitest';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { checkedNetwork, only, prompt } from '../../support/checked-network.ts';
import { ALLOWED_MS, ask, greedy } from '../../support/toy-stalls.ts';
import { toyAnswer } from '../../support/toy-model.ts';
import type { ToyNetwork, ToyVolunteer } from '../../support/toy-network.ts';

describe('a verdict that a replica holds up, though it answers', () => {
  /** Messages of this type from it are lost. */
  const withhold = (network: ToyNetwork, { id }: ToyVolunteer, type: PeerMessage['type']): void => {
    network.links.fate = (message, from) => (message.type === type && from === id ? [] : [1]);
  };
  type Holding = (network: ToyNetwork, replica: ToyVolunteer) => void;
  const holdings: readonly (readonly [string, place: 0 | 1, named: string | null, Holding])[] = [
    ['a shadow never ends a run', 1, null, (_, { compute }) => void (compute.runMs = 10_000_000)],
    ['a shadow does not commit', 1, null, (network, replica) => withhold(network, replica, 'commit')],
    ['a shadow does not reveal', 1, 'reveal-missing', (network, replica) => withhold(network, replica, 'reveal')],
    ['a primary does not commit', 0, 'commit-missing', (network, replica) => withhold(network, replica, 'commit')],
    ['a primary does not reveal', 0, 'reveal-missing', (network, replica) => withhold(network, replica, 'reveal')],
  ];
  const cases = [0, 1, 2].flatMap((stage) => holdings.map((holding) => [stage, ...holding] as const));

  it.each(cases)(
    'comes in time from others, and who could speak is named: stage %i, %s',
    async (stage, _, place, code, hold) => {
      const network = checkedNetwork([], 3);
      const holding = network.of(stage)[place]!;
      const { events, saidMs } = await ask(network, 70, 64, (event) => {
        if (event.type === 'token' && event.position === 125) hold(network, holding);
      });
      expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'length', tier: 'checked' });
      expect(network.clock.nowMs() - saidMs.at(-1)!).toBeLessThanOrEqual(2 * ALLOWED_MS);
      expect(JSON.stringify(network.routes.at(-1))).not.toContain(holding.id);
      const named = code === null ? [] : [{ volunteer: holding.id, code }];
      expect(only(events, 'fault').map(({ volunteer, code: shown }) => ({ volunteer, code: shown }))).toEqual(named);
      // What may be slowness is no complaint.
      expect(network.releases.flatMap(({ faults }) => faults)).toHaveLength(named.length);
    },
  );

  it('comes from others too where a shadow gets on, but far too slowly', async () => {
    const network = checkedNetwork([], 3);
    const creeping = network.of(1)[1]!;
    const { events, saidMs } = await ask(network, 70, 200, (event) => {
      if (event.type === 'token' && event.position === 80) creeping.compute.runMs = 900;
    });
    // It may take twice the time of the primaries, and a second more.
    const allowedMs = saidMs.at(-1)! + ALLOWED_MS;
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
    expect(network.clock.nowMs() - saidMs.at(-1)!).toBeLessThanOrEqual(allowedMs + ALLOWED_MS);
    expect(JSON.stringify(network.routes.at(-1))).not.toContain(creeping.id);
  });

  it('leaves out a shadow and its sender where one says that it was sent nothing', async () => {
    const network = checkedNetwork([], 4);
    const [sender, starved] = [network.of(0)[0]!, network.of(1)[1]!];
    const { events } = await ask(network, 70, 64, (event) => {
      if (event.type !== 'token' || event.position !== 100) return;
      network.links.fate = (message, from, to) =>
        message.type === 'rows' && from === sender.id && to === starved.id ? [] : [1];
    });
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null }]);
    for (const { id } of [sender, starved]) expect(JSON.stringify(network.routes.at(-1))).not.toContain(id);
    expect(only(events, 'fault')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('names who withholds a word once, although nobody can take its place', async () => {
    const network = checkedNetwork([], 2);
    const shadow = network.of(1)[1]!;
    let askedMs = 0;
    network.links.fate = (message, from) => {
      if (message.type !== 'reveal' || from !== shadow.id) return [1];
      // It comes in the end, before the check ends it.
      askedMs ||= network.clock.nowMs();
      return [4_500];
    };
    const { events } = await ask(network, 70, 20);
    expect(askedMs).toBeGreaterThan(0);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: shadow.id, code: 'reveal-missing' }]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('is waited for where the answer would be checked less without that replica', async () => {
    const network = checkedNetwork([], 2);
    const shadow = network.of(1)[1]!;
    const { events } = await ask(network, 70, 20, (event) => {
      if (event.type === 'token' && event.position === 85) shadow.compute.runMs = 900;
    });
    expect(only(events, 'rerouted')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('is waited for where a shadow is only four times as slow as the primaries', async () => {
    const network = checkedNetwork([], 3);
    for (const stage of [0, 1, 2]) network.of(stage)[0]!.compute.runMs = 30;
    network.predictedMs = 30;
    network.of(1)[1]!.compute.runMs = 4 * 3 * 34;
    const { events } = await ask(network, 40, 40);
    expect(only(events, 'rerouted')).toEqual([]);
    expect(network.routes).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('is waited for after a rest no longer than in a first answer', async () => {
    const network = checkedNetwork([], 3);
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(40)));
    network.clock.skip(30_000);
    const shadow = network.of(1)[1]!;
    const first = toyAnswer(prompt(40), 24);
    let lastMs = 0;
    const { events } = await network.ask(conversation, greedy([...prompt(40), ...first, 3], 16), (event) => {
      if (event.type === 'token') [shadow.compute.runMs, lastMs] = [600, network.clock.nowMs()];
    });
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
    expect(network.clock.nowMs() - lastMs).toBeLessThanOrEqual(2 * ALLOWED_MS);
  });
});
