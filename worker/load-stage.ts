import { readBlobs, readRange, type LocatedBlobs, type ReadableBlobs } from '#shared/blobs/read-blobs.ts';
import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { cutStage, stageBlobs, stageGraph, type CutStage } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import { NotPlanned } from '#shared/model/engine/plan.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { WorkerCalls, WorkerReply } from '#shared/wire/worker-message.ts';
import type { OpenBackend } from './backend.ts';
import { loadEngineGraph } from './engine/engine-graph.ts';
import { weightsInBlobs, weightsInMemory } from './engine/weight-source.ts';
import { loadGraph, type GraphSizes, type LoadedGraph } from './loaded-graph.ts';
import { type ProbeResult, type ProbeValues, median, probeStage } from './probe.ts';
import { readable } from './engine/readable-blobs.ts';
import { createServedStage, type ServedStage } from './served-stage.ts';

type Phase = Extract<WorkerReply, { type: 'progress' }>['phase'];
export type OnProgress = (phase: Phase, done: number, total: number) => void;

/** Reads all blobs of a stage, as `readBlobs`. */
export async function readStageBlobs(
  {
    manifest,
    range,
    blobs,
  }: { readonly manifest: Manifest; readonly range: StageRange; readonly blobs: LocatedBlobs | ReadableBlobs },
  clock: Pick<Clock, 'setTimer'>,
): Promise<ReadonlyMap<Digest, Uint8Array<ArrayBuffer>>> {
  const opened = readable(blobs);
  try {
    return await readBlobs(stageBlobs(manifest, range), opened.blobs, clock);
  } finally {
    await opened.close();
  }
}

/**
 * Cuts, creates, warms up and probes one stage on one backend; `blobs` are all that `stageBlobs` lists, read as they are
 * needed. Throws `bad-model`, `unsupported-model`, `out-of-memory`, `probe-failed`, or as `readBlobs` does, and then holds nothing.
 */
export async function loadStage(
  backend: OpenBackend,
  request: Pick<WorkerCalls['load']['request'], 'manifest' | 'range' | 'probe' | 'warmUp' | 'maxSessions'>,
  blobs: ReadableBlobs,
  onProgress: OnProgress,
  clock: Pick<Clock, 'setTimer'>,
): Promise<{ stage: ServedStage; probed: ProbeResult; numericClass: string }> {
  const { manifest, range, probe, warmUp = true, maxSessions } = request;
  onProgress('cut', 0, 1);
  const graph = await readWhole(manifest.graph, blobs, clock);
  const cut = cutStage({ manifest, graph, range, blob: null });
  onProgress('create', 0, 1);
  const weights = weightsInBlobs(cut, blobs, clock, () => onProgress('create', 0, 1));
  const { loaded, numericClass } = await loadCutStage(backend, cut, manifest.config, weights, async () => {
    const read = await readStageBlobs({ manifest, range, blobs }, clock);
    return cutStage({ manifest, graph, range, blob: (digest) => read.get(digest) as Uint8Array<ArrayBuffer> });
  });
  const stage = createServedStage({ loaded, manifest, range, maxSessions });
  if (!warmUp) return { stage, probed: { error: null, decodeMs: 0 }, numericClass };
  try {
    const values = await probeValues(manifest, range, (ref) => readWhole(ref, blobs, clock));
    const probed = await probeStage(stage, values, probe, onProgress);
    return { stage, probed, numericClass };
  } catch (thrown) {
    await stage.release();
    throw thrown;
  }
}

function readWhole(
  ref: BlobRef,
  blobs: ReadableBlobs,
  clock: Pick<Clock, 'setTimer'>,
): Promise<Uint8Array<ArrayBuffer>> {
  return readRange(ref, blobs, [0, ref.bytes], clock);
}

/**
 * A cut stage in the engine, where the backend has it and it knows the graph: its weights go there a window at a time. Else in
 * the inference runtime, from `whole`, the stage with all its bytes. One that was cut with them needs no other.
 */
export async function loadCutStage(
  backend: OpenBackend,
  cut: CutStage,
  sizes: GraphSizes,
  weights = weightsInMemory(cut.read),
  whole: () => Promise<CutStage> = () => Promise.resolve(cut),
): Promise<{ loaded: LoadedGraph; numericClass: string }> {
  const { device, engine, info } = backend;
  if (engine !== null) {
    try {
      const { hiddenSize, vocabularySize } = sizes;
      const plan = planStage({ ...cut, hiddenSize, vocabularySize });
      const loaded = await loadEngineGraph({ module: await engine(), plan, weights, vocabularySize });
      return { loaded, numericClass: info.numericClass };
    } catch (thrown) {
      if (!(thrown instanceof NotPlanned)) throw thrown;
    }
  }
  const graph = stageGraph(await whole(), device === null || engine !== null);
  return {
    loaded: await loadGraph({ runtime: await backend.runtime(), device }, graph, sizes),
    numericClass: engine === null ? info.numericClass : RUNTIME_CLASS,
  };
}

/** Runs of the trial below: the first builds what later ones use. */
const TRIAL_RUNS = [2, 1, 1, 1, 1, 1, 1, 1];

/**
 * Milliseconds that the engine takes for one token in the first layer of a stage, whichever backend the stage itself is for;
 * null where the stage has no layer, or the engine does not know it.
 */
export async function timeEngineLayer(
  module: WebAssembly.Module,
  { manifest, range }: Pick<WorkerCalls['load']['request'], 'manifest' | 'range'>,
  blobs: ReadableBlobs,
  clock: Pick<Clock, 'setTimer'>,
): Promise<number | null> {
  if (range.start === range.end) return null;
  const layer = { start: range.start, end: range.start + 1, embedding: false, head: false };
  const { config } = manifest;
  try {
    const graph = await readWhole(manifest.graph, blobs, clock);
    const cut = cutStage({ manifest, graph, range: layer, blob: null });
    const { vocabularySize } = config;
    const weights = weightsInBlobs(cut, blobs, clock, () => undefined);
    const loaded = await loadEngineGraph({ module, plan: planStage({ ...cut, ...config }), weights, vocabularySize });
    const stage = createServedStage({ loaded, manifest, range: layer, maxSessions: 1 });
    const positions = TRIAL_RUNS.reduce((sum, count) => sum + count, 0);
    const { runMs } = await stage.trace(new Float32Array(positions * config.hiddenSize).fill(0.1), TRIAL_RUNS);
    await stage.release();
    return median(runMs.slice(2));
  } catch (thrown) {
    if (thrown instanceof NotPlanned) return null;
    throw thrown;
  }
}

/** The manifest's values at both ends of the stage. */
async function probeValues(
  { config, probe }: Manifest,
  range: StageRange,
  blob: (ref: BlobRef) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<ProbeValues> {
  const positions = probe.tokens.length;
  const read = async (ref: BlobRef | undefined, rowLength: number): Promise<Float32Array> => {
    const bytes = ref && (await blob(ref));
    if (bytes?.length !== 4 * positions * rowLength)
      throw new ChorusError('bad-manifest', 'a probe value has the wrong size');
    return new Float32Array(new Uint8Array(bytes).buffer);
  };
  return {
    positions,
    input: range.embedding
      ? Uint32Array.from(probe.tokens)
      : await read(probe.boundaries[range.start], config.hiddenSize),
    expected: range.head
      ? await read(probe.logits, config.vocabularySize)
      : await read(probe.boundaries[range.end], config.hiddenSize),
    tolerance: probe.tolerance,
  };
}
