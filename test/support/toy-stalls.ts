import { expect } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { prompt, standing } from './checked-network.ts';
import { GREEDY, toyAnswer } from './toy-model.ts';
import type { ToyNetwork, ToyVolunteer } from './toy-network.ts';

/** A request at temperature 0. */
export const greedy = (promptTokens: readonly number[], maxNewTokens = 24) => ({
  promptTokens,
  maxNewTokens,
  sampling: GREEDY,
});

/** What the answer may cost from the last word of a volunteer to the next token. */
export const ALLOWED_MS = 1_000;

export type Stall =
  | 'answers nothing'
  | 'never ends a run'
  | 'sleeps 1.5 s a run'
  | 'is gone'
  | 'is gone without a word';
export const STALLS: readonly Stall[] = [
  'answers nothing',
  'never ends a run',
  'sleeps 1.5 s a run',
  'is gone',
  'is gone without a word',
];

/** Peers that say nothing more, and hear nothing. */
const mute = new WeakMap<ToyNetwork, Set<PeerId>>();

/** Makes a volunteer stall from now on. */
export function stall(network: ToyNetwork, volunteer: ToyVolunteer, how: Stall): void {
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
export async function ask(
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
