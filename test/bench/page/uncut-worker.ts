import type { Digest, SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS, TOP_K } from '#shared/limits.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { createWorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import type { RunTimings } from '#shared/rows/compute.ts';
import { logitsRowBytes, readCandidates } from '#shared/rows/logits-row.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { spawnWorker } from '../../../web/network/worker-client.ts';
import type { Contender, LapSplit } from '../contender.ts';
import { fetchServedModel } from './served-model.ts';

/** The project's own compute thread with the whole model as one stage; no network. */
export async function createUncutWorker(): Promise<Contender> {
  const { manifest } = await fetchServedModel();
  const { layers, vocabularySize } = manifest.config;
  const range = { start: 0, end: layers, embedding: true, head: true };
  const blobs = new Map<Digest, Blob>();
  for (const { digest } of stageBlobs(manifest, range))
    blobs.set(digest, await (await fetch(`/blobs/${digest}`)).blob());
  const worker = createWorkerClient({ spawn: spawnWorker, clock: pageClock() });
  await worker.start({ backend: 'wasm', keepSubgroups: false });
  await worker.load({ manifest, range, blobs, probe: false, maxSessions: 1 }, new AbortController().signal);

  const candidates = Math.min(TOP_K, vocabularySize);
  const session = 'be'.repeat(16) as SessionId;

  async function next(tokens: readonly number[], start: number): Promise<{ token: number; timings: RunTimings }> {
    const bytes = new Uint8Array(Uint32Array.from(tokens).buffer);
    const input = { kind: 'tokens' as const, start, count: tokens.length, bytes };
    const { output, timings } = await worker.compute.run({ session, input, logitsFrom: start + tokens.length - 1 });
    const row = output.bytes.slice(-logitsRowBytes(candidates));
    return { token: readCandidates(row, vocabularySize, candidates).tokens[0] ?? 0, timings };
  }

  return {
    async generate(prompt, count) {
      await worker.compute.open(session, prompt.length + count);
      const startedAtMs = performance.now();
      const tokens: number[] = [];
      for (let start = 0; start < prompt.length; start += CHUNK_POSITIONS) {
        tokens[0] = (await next(prompt.slice(start, start + CHUNK_POSITIONS), start)).token;
      }
      const firstAtMs = performance.now();
      const laps: LapSplit[] = [];
      while (tokens.length < count) {
        const lapStartedAtMs = performance.now();
        const { token, timings } = await next(tokens.slice(-1), prompt.length + tokens.length - 1);
        tokens.push(token);
        laps.push({ ...toMs([timings]), lapMs: performance.now() - lapStartedAtMs });
      }
      const endedAtMs = performance.now();
      await worker.compute.close(session);
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
