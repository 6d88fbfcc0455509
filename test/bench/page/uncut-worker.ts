import type { RunTimings } from '#shared/rows/compute.ts';
import type { Contender, LapSplit } from '../contender.ts';
import { fetchServedModel } from './served-model.ts';
import { startWholeStage } from './whole-stage.ts';

/** The project's own compute thread with the whole model as one stage; no network. */
export async function createUncutWorker(): Promise<Contender> {
  const { manifest } = await fetchServedModel();
  const stage = await startWholeStage(manifest, '/blobs');
  return {
    async generate(prompt, count) {
      await stage.open(prompt.length + count);
      const startedAtMs = performance.now();
      const tokens = [(await stage.read(prompt)).token];
      const firstAtMs = performance.now();
      const laps: LapSplit[] = [];
      while (tokens.length < count) {
        const lapStartedAtMs = performance.now();
        const { token, timings } = await stage.next(tokens.at(-1)!, prompt.length + tokens.length - 1);
        tokens.push(token);
        laps.push({ ...toMs([timings]), lapMs: performance.now() - lapStartedAtMs });
      }
      const endedAtMs = performance.now();
      await stage.close();
      return { tokens, firstTokenMs: firstAtMs - startedAtMs, decodeMs: endedAtMs - firstAtMs, laps };
    },
  };
}

/** Sums over the stages of one lap. */
export function toMs(hops: readonly RunTimings[]): Omit<LapSplit, 'lapMs'> {
  const sum = (pick: (hop: RunTimings) => number): number => hops.reduce((total, hop) => total + pick(hop), 0) / 1000;
  return {
    queueMs: sum((hop) => hop.queueUs),
    decodeMs: sum((hop) => hop.decodeUs),
    runMs: sum((hop) => hop.runUs),
    encodeMs: sum((hop) => hop.encodeUs),
  };
}
