import { joinNetwork } from '../../../web/join.ts';
import { pageClock } from '../../../web/page-clock.ts';
import type { Contender, LapSplit } from '../contender.ts';
import { fetchServedModel } from './served-model.ts';
import { toMs } from './uncut-worker.ts';

/** A requester in this page that asks the volunteers of the server behind it. */
export async function createNetworkRequester(): Promise<Contender> {
  const model = await fetchServedModel();
  const { requester } = await joinNetwork({
    serverUrl: location.origin,
    clock: pageClock(),
    random: (count) => crypto.getRandomValues(new Uint8Array(count)),
    onState: () => undefined,
    onTransport: () => undefined,
    onLink: () => undefined,
  });
  return {
    async generate(prompt, count) {
      const conversation = requester.openConversation(model);
      const tokens: number[] = [];
      const laps: LapSplit[] = [];
      let startedAtMs = performance.now();
      let [firstAtMs, lastAtMs] = [0, 0];
      const events = conversation.generate({
        promptTokens: prompt,
        maxNewTokens: count,
        sampling: { temperature: 0, topP: 1, seed: 0 },
        signal: new AbortController().signal,
      });
      for await (const event of events) {
        // Finding and opening a route is not the model's time; a conversation pays it once.
        if (event.type === 'routed') startedAtMs = performance.now();
        if (event.type !== 'token' && event.type !== 'end') continue;
        lastAtMs = performance.now();
        if (firstAtMs === 0) firstAtMs = lastAtMs;
        if (event.type !== 'token') continue;
        if (tokens.push(event.token) > 1) laps.push({ ...toMs(event.hops), lapMs: event.lapMs });
      }
      conversation.close();
      return { tokens, firstTokenMs: firstAtMs - startedAtMs, decodeMs: lastAtMs - firstAtMs, laps };
    },
  };
}
