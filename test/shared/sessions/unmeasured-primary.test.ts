import { describe, expect, it } from 'vitest';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import { bend, bendLogits } from '../../support/bent-logits.ts';
import { checkedNetwork, only, prompt, standing, wrongShown } from '../../support/checked-network.ts';
import type { ToyNetwork } from '../../support/toy-network.ts';

const MADE_UP = 'webgpu/apple/m9';
const [LENGTH, COUNT] = [40, 20];
const request = { promptTokens: prompt(LENGTH), maxNewTokens: COUNT, sampling: GREEDY };
const truth = toyAnswer(prompt(LENGTH), COUNT);

/** Primaries of the last stage are of a class that nobody measured and steer by near ties; `exact` of its replicas are of the engine. */
function steered(exact: number, replicas = exact + 1): ToyNetwork {
  const network = checkedNetwork([], replicas);
  for (const volunteer of network.volunteers) volunteer.numericClass = ENGINE_CLASS;
  const last = network.of(2);
  for (const volunteer of [last[0]!, ...last.slice(1 + exact)]) {
    volunteer.numericClass = MADE_UP;
    volunteer.compute.tamper = bendLogits(bend(0.01));
  }
  return network;
}

const primaries = ({ routes }: ToyNetwork): boolean[] => {
  return routes.map(({ stages }) => stages[2]!.primary.numericClass === MADE_UP);
};

/** Asks, and makes something happen once so many tokens are there. */
async function ask(network: ToyNetwork, happens: () => void = () => undefined, asked = request, at = 6) {
  let seen = 0;
  const { events } = await network.ask(network.conversation(), asked, (event) => {
    if (event.type === 'token' && ++seen === at) happens();
  });
  return events;
}

function expectTruth(events: readonly AnswerEvent[]): void {
  expect(wrongShown(events, truth, LENGTH)).toEqual([]);
  expect(standing(events, LENGTH)).toEqual(truth);
  expect(events.at(-1)).toMatchObject({ tier: 'checked' });
}

describe('beside a primary of a class that nobody measured, the exact shadow’s draws go on', () => {
  it('from lap to lap, and in the next answer of the conversation', async () => {
    const network = steered(1);
    const conversation = network.conversation();
    const first = await network.ask(conversation, request);
    expectTruth(first.events);
    expect(only(first.events, 'redrawn').length).toBeGreaterThan(0);
    const next = [...prompt(LENGTH), ...truth, 5];
    const second = await network.ask(conversation, { ...request, promptTokens: next });
    expect(standing(second.events, next.length)).toEqual(toyAnswer(next, COUNT));
    expect(primaries(network)).toEqual([true]);
  });

  it('after a failover at another stage, which leaves both where they are', async () => {
    const network = steered(1, 3);
    const events = await ask(network, () => network.links.kill(network.of(0)[0]!.id));
    expectTruth(events);
    expect(only(events, 'rerouted').length).toBeGreaterThan(0);
    expect(primaries(network)).toEqual([true, true]);
  });

  it('after the primary has left: the exact one computes itself then', async () => {
    const network = steered(2);
    const events = await ask(network, () => network.links.kill(network.of(2)[0]!.id));
    expectTruth(events);
    expect(primaries(network)).toEqual([true, false]);
  });

  it('after it has left, by another exact one that takes its place', async () => {
    const network = steered(2);
    const events = await ask(network, () => network.links.kill(network.of(2)[1]!.id));
    expectTruth(events);
    expect(network.routes.at(-1)!.stages[2]!.shadows.map(({ numericClass }) => numericClass)).toEqual([ENGINE_CLASS]);
  });

  it('and where none takes its place no token counts that it has not drawn', async () => {
    const network = steered(1, 3);
    const events = await ask(network, () => network.links.kill(network.of(2)[1]!.id));
    expect(wrongShown(events, truth, LENGTH)).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'unchecked' });
  });
});
