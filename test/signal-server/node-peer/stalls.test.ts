import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { Route } from '#shared/route/route.ts';
import { only, standing } from '../../support/checked-network.ts';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import { startStallingNetwork, type StallingNetwork } from '../../support/stalling-network.ts';
import { GREEDY } from '../../support/toy-model.ts';

const COUNT = 60;
/** On a machine that does much else: the links' pings alone take 6 s. `test/bench/failover.ts` measures the time itself. */
const PATIENT_MS = 5_000;
const { prompt, tokens } = readGoldenAnswers().chatOf([
  { role: 'user', content: 'Tell me a story about two friends.' },
]);

let network: StallingNetwork;

beforeAll(async () => {
  network = await startStallingNetwork(6);
}, 120_000);
afterEach(() => network.mend(), 120_000);
afterAll(() => network.stop());

describe('an answer of volunteers in processes of their own', { timeout: 120_000 }, () => {
  it.each([
    ['stands still, with its sockets open', 'frozen', 0],
    ['stands still, with its sockets open', 'frozen', 1],
    ['sleeps 1.5 s in each run', 'tarpit', 0],
    ['sleeps 1.5 s in each run', 'tarpit', 1],
  ] as const)('goes on with the same tokens where one %s (%s, stage %i)', async (_, how, stage) => {
    const conversation = network.requester.openConversation(network.model);
    const request = {
      promptTokens: prompt,
      maxNewTokens: COUNT,
      sampling: GREEDY,
      signal: new AbortController().signal,
    };
    const events: AnswerEvent[] = [];
    let route: Route | null = null;
    let [saidMs, longestMs, isStalled] = [0, 0, false];
    for await (const event of conversation.generate(request)) {
      events.push(event);
      if (event.type === 'routed') route ??= event.route;
      if (event.type !== 'token') continue;
      if (isStalled) longestMs = Math.max(longestMs, performance.now() - saidMs);
      saidMs = performance.now();
      if (isStalled || event.position < prompt.length + 20) continue;
      isStalled = true;
      network.stall(route!.stages[stage]!.primary.id, how);
    }
    conversation.close();
    expect(standing(events, prompt.length)).toEqual(tokens.slice(0, COUNT));
    expect(only(events, 'rerouted').length).toBeGreaterThan(0);
    expect(only(events, 'fault')).toEqual([]);
    expect(longestMs).toBeLessThan(PATIENT_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });
});
