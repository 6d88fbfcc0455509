import type { Digest, SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS, TOP_K } from '#shared/limits.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { createWorkerClient } from '#shared/peer/volunteer/worker-client.ts';
import type { RunTimings } from '#shared/rows/compute.ts';
import { logitsRowBytes, readCandidates } from '#shared/rows/logits-row.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { spawnWorker } from '../../../web/network/worker-client.ts';

/** The likeliest token after what was fed. */
export interface Fed {
  readonly token: number;
  readonly timings: RunTimings;
}

/** A whole model as one stage on the project's own compute thread, with one session at a time. */
export interface WholeStage {
  open(positions: number): Promise<void>;
  /** Feeds a prompt from position 0 on in chunks, as a requester sends it: the next before the last is done. */
  read(prompt: readonly number[]): Promise<Fed>;
  /** Feeds one token. */
  next(token: number, position: number): Promise<Fed>;
  cut(position: number): Promise<void>;
  close(): Promise<void>;
}

/** Loads a model on WASM as a volunteer does; `blobsUrl/DIGEST` has its blobs. */
export async function startWholeStage(manifest: Manifest, blobsUrl: string): Promise<WholeStage> {
  const { layers, vocabularySize } = manifest.config;
  const range: StageRange = { start: 0, end: layers, embedding: true, head: true };
  const worker = createWorkerClient({ spawn: spawnWorker, clock: pageClock() });
  await worker.start({ backend: 'wasm', keepSubgroups: false });
  const blobs = await fetchBlobs(manifest, range, blobsUrl);
  await worker.load({ manifest, range, blobs, probe: true, maxSessions: 1 }, new AbortController().signal);

  const { compute } = worker;
  const candidates = Math.min(TOP_K, vocabularySize);
  const session = 'be'.repeat(16) as SessionId;

  async function feed(tokens: readonly number[], start: number, logitsFrom: number): Promise<Fed | null> {
    const bytes = new Uint8Array(Uint32Array.from(tokens).buffer);
    const input = { kind: 'tokens' as const, start, count: tokens.length, bytes };
    const { output, timings } = await compute.run({ session, input, logitsFrom });
    if (output.count === 0) return null;
    const row = output.bytes.slice(-logitsRowBytes(candidates));
    return { token: readCandidates(row, vocabularySize, candidates).tokens[0] ?? 0, timings };
  }

  return {
    open: (positions) => compute.open(session, positions),
    async read(prompt) {
      const starts = Array.from({ length: Math.ceil(prompt.length / CHUNK_POSITIONS) }, (_, i) => i * CHUNK_POSITIONS);
      const fed = await Promise.all(
        starts.map((start) => feed(prompt.slice(start, start + CHUNK_POSITIONS), start, prompt.length - 1)),
      );
      return fed.at(-1)!;
    },
    next: async (token, position) => (await feed([token], position, position))!,
    cut: (position) => compute.cut(session, position),
    close: () => compute.close(session),
  };
}

async function fetchBlobs(manifest: Manifest, range: StageRange, blobsUrl: string): Promise<Map<Digest, Blob>> {
  const blobs = new Map<Digest, Blob>();
  for (const { digest } of stageBlobs(manifest, range)) {
    blobs.set(digest, await (await fetch(`${blobsUrl}/${digest}`)).blob());
  }
  return blobs;
}
