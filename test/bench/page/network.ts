import { pageClock } from '../../../web/browser/page-clock.ts';
import { StorageHealth } from '../../../web/browser/storage-health.ts';
import { joinNetwork } from '../../../web/network/join.ts';
import type { Contender, LapSplit } from '../contender.ts';
import { fetchServedModel } from './served-model.ts';
import { toMs } from './uncut-worker.ts';

/** A requester in this page that asks the volunteers of the server behind it. */
export async function createNetworkRequester(): Promise<Contender> {
  const model = await fetchServedModel();
  const clock = pageClock();
  const { requester } = await joinNetwork({
    serverUrl: location.origin,
    clock,
    storage: { health: new StorageHealth(), onNotKept: () => undefined, clock },
    random: (count) => crypto.getRandomValues(new Uint8Array(count)),
    onState: () => undefined,
    onTransport: () => undefined,
    onLink: () => undefined,
  });
  return {
    async generate(prompt, count, { shadows }) {
      const conversation = requester.openConversation(model, { shadows });
      const tokens: number[] = [];
      const laps: LapSplit[] = [];
      const saidAtMs: number[] = [];
      const checkDelaysMs: number[] = [];
      let [session, tier] = ['', ''];
      let primaries: string[] = [];
      let startedAtMs = performance.now();
      const events = conversation.generate({
        promptTokens: prompt,
        maxNewTokens: count,
        sampling: { temperature: 0, topP: 1, seed: 0 },
        signal: new AbortController().signal,
      });
      for await (const event of events) {
        const nowMs = performance.now();
        if (event.type === 'rerouted') throw new Error(`a bench run was rerouted: ${event.reason}`);
        if (event.type === 'routed') {
          // Finding and opening a route is not the model's time; a conversation pays it once.
          startedAtMs = nowMs;
          session = event.route.session;
          primaries = event.route.stages.map(({ primary }) => primary.id);
        }
        if (event.type === 'token') {
          saidAtMs.push(nowMs);
          if (tokens.push(event.token) > 1) laps.push({ ...toMs(event.hops), lapMs: event.lapMs });
        }
        if (event.type === 'checked') {
          const end = Math.min(saidAtMs.length, event.check.end + 1 - prompt.length);
          for (let i = checkDelaysMs.length; i < end; i++) checkDelaysMs.push(nowMs - (saidAtMs[i] ?? nowMs));
        }
        if (event.type === 'end') tier = event.tier;
      }
      conversation.close();
      const [firstAtMs = startedAtMs, lastAtMs = startedAtMs] = [saidAtMs[0], saidAtMs.at(-1)];
      return {
        ...{ tokens, firstTokenMs: firstAtMs - startedAtMs, decodeMs: lastAtMs - firstAtMs, laps },
        network: { session, primaries, tier, checkDelaysMs },
      };
    },
  };
}
