import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { checkedNetwork, only, prompt, standing } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import type { ToyNetwork, ToyVolunteer } from '../../support/toy-network.ts';

const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});

/** What the answer may cost from the last word of a volunteer to the next token. */
const ALLOWED_MS = 1_000;

type Stall = 'answers nothing' | 'never ends a run' | 'sleeps 1.5 s a run' | 'is gone' | 'is gone without a word';
const STALLS: readonly Stall[] = [
  'answers nothing',
  'never ends a run',
  'sleeps 1.5 s a run',
  'is gone',
  'is gone without a word',
];

/** Peers that say nothing more, and hear nothing. */
const mute = new WeakMap<ToyNetwork, Set<PeerId>>();

function stall(network: ToyNetwork, volunteer: ToyVolunteer, how: Stall): void {
  if (how === 'is gone') return network.links.kill(volunteer.id);
  if (how === 'never ends a run') volunteer.compute.runMs = 10_000_000;
  else if (how === 'sleeps 1.5 s a run') volunteer.compute.runMs = 1_500;
  else {
    const muted = mute.get(network) ?? new Set();
    mute.set(network, muted.add(volunteer.id));
    const { fate } = network.links;
    network.links.fate = (message, from, to) => (muted.has(from) || muted.has(to) ? [] : fate(message, from, to));
    // The link is found to be dead later than by what it does not carry.
    if (how === 'is gone without a word') network.clock.setTimer(() => network.links.kill(volunteer.id), 6_000);
  }
}

/** Asks, and notes when each token came that was not there before, and what the stalled one sent last. */
async function ask(
  network: ToyNetwork,
  length: number,
  count: number,
  onEvent: (event: AnswerEvent) => void = () => undefined,
) {
  const saidMs: number[] = [];
  const { events } = await network.ask(network.conversation(), greedy(prompt(length), count), (event) => {
    const nowMs = network.clock.nowMs();
    if (event.type === 'token') saidMs[event.position - length] ??= nowMs;
    onEvent(event);
  });
  expect(standing(events, length)).toEqual(toyAnswer(prompt(length), count));
  const gapsMs = saidMs.slice(1).map((ms, i) => ms - saidMs[i]!);
  return { events, gapsMs, longestMs: Math.max(...gapsMs), saidMs };
}

const places = [0, 1, 2].flatMap((stage) => STALLS.map((how) => [stage, how] as const));

describe('a volunteer that stalls while tokens are drawn', () => {
  it.each(places)(
    'loses its place in time, with the same text and checked: stage %i, one that %s',
    async (stage, how) => {
      const network = checkedNetwork([], 3);
      const stalling = network.of(stage)[0]!;
      let isStalled = false;
      const { events, longestMs } = await ask(network, 70, 24, (event) => {
        if (isStalled || event.type !== 'token' || event.position < 77) return;
        isStalled = true;
        stall(network, stalling, how);
      });
      expect(longestMs).toBeLessThanOrEqual(ALLOWED_MS);
      expect(only(events, 'rerouted')).toHaveLength(1);
      // Nothing that was said is taken back.
      expect(only(events, 'rerouted')[0]!.from).toBeGreaterThanOrEqual(78);
      expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
      expect(JSON.stringify(network.routes[1])).not.toContain(stalling.id);
      if (how !== 'is gone') {
        expect(only(events, 'fault')).toEqual([]);
        expect(network.releases.flatMap(({ faults }) => faults)).toEqual([]);
      }
    },
  );

  it.each([0, 1, 2])('and is slow by its large model has three laps: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    for (const { compute } of network.volunteers) compute.runMs = 200;
    network.predictedMs = 200;
    const stalling = network.of(stage)[0]!;
    const { longestMs } = await ask(network, 20, 24, (event) => {
      if (event.type === 'token' && event.position === 30) stall(network, stalling, 'answers nothing');
    });
    // Asked after one and a half, found in half a one, and the prompt goes round once more.
    expect(longestMs).toBeLessThanOrEqual(3 * 610);
  });
});

describe('a volunteer that stalls while the prompt is fed', () => {
  it.each(places)(
    'loses its place in time, with the same text and checked: stage %i, one that %s',
    async (stage, how) => {
      const network = checkedNetwork([], 3);
      const stalling = network.of(stage)[0]!;
      let [isStalled, lastWordMs] = [false, 0];
      const { fate } = network.links;
      network.links.fate = (message, from, to) => {
        if (from === stalling.id && message.type === 'rows') lastWordMs = network.clock.nowMs();
        return fate(message, from, to);
      };
      const { events, saidMs } = await ask(network, 600, 8, (event) => {
        if (isStalled || event.type !== 'prompt') return;
        isStalled = true;
        stall(network, stalling, how);
      });
      // One chunk each 2 ms, and the way of the last.
      const promptMs = 20 * 2 + 20;
      // A first run of its size may take a second where nothing is known of it but the prediction.
      expect(saidMs[0]! - lastWordMs).toBeLessThanOrEqual(ALLOWED_MS + promptMs);
      expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
      expect(JSON.stringify(network.routes[1])).not.toContain(stalling.id);
    },
  );
});

describe('black holes', () => {
  it.each([0, 1, 2])('that were never heard of are found before anything is fed: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    stall(network, network.of(stage)[0]!, 'answers nothing');
    const { events, saidMs } = await ask(network, 40, 8);
    expect(saidMs[0]).toBeLessThanOrEqual(2 * ALLOWED_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('one after the other, and one in each of two stages at once, still end in the right text', async () => {
    const network = checkedNetwork([], 5);
    const [first, second] = [network.of(1)[0]!, network.of(1)[1]!];
    const { events, longestMs } = await ask(network, 40, 24, (event) => {
      if (event.type !== 'token') return;
      if (event.position === 45) stall(network, first, 'answers nothing');
      if (event.position === 50) stall(network, second, 'answers nothing');
      if (event.position === 55) for (const stage of [0, 2]) stall(network, network.of(stage)[0]!, 'answers nothing');
    });
    expect(longestMs).toBeLessThanOrEqual(ALLOWED_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('that fill all places but one of each stage are got over', async () => {
    const network = checkedNetwork([], 4);
    for (const stage of [0, 1, 2]) for (const n of [0, 1]) stall(network, network.of(stage)[n]!, 'answers nothing');
    const { events, saidMs } = await ask(network, 40, 8);
    expect(saidMs[0]).toBeLessThanOrEqual(4 * ALLOWED_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });
});
