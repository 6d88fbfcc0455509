import { describe, expect, it } from 'vitest';
import { ROUTE_TIMEOUT_MS } from '#shared/limits.ts';
import { codeOfAsync } from '../../../support/code-of.ts';
import { GREEDY, toyAnswer } from '../../../support/toy-model.ts';
import { ToyNetwork } from '../../../support/toy-network.ts';

const request = { promptTokens: [4, 5, 6], maxNewTokens: 4, sampling: GREEDY };

describe('who waits for a route from a server', () => {
  it('that is lost, and does not come back, is told so', async () => {
    const network = new ToyNetwork();
    const { control, requester } = network.requester();
    control.become({ type: 'reconnecting', attempt: 1, delayMs: 500, reason: 'restart' });
    const conversation = requester.openConversation(network.model);
    expect(await codeOfAsync(network.ask(conversation, request))).toBe('server-lost');
    expect(network.clock.nowMs()).toBe(ROUTE_TIMEOUT_MS);
    control.become({ type: 'open' });
    expect((await network.ask(conversation, request)).tokens).toEqual(toyAnswer([4, 5, 6], 4));
  });
});
