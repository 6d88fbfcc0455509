import { readBlobs } from '#shared/blobs/read-blobs.ts';
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
import { loadGraph, type GraphSizes, type LoadedGraph } from './loaded-graph.ts';
import { type ProbeResult, type ProbeValues, median, probeStage } from './probe.ts';
import { createServedStage, type ServedStage } from './served-stage.ts';

type Phase = Extract<WorkerReply, { type: 'progress' }>['phase'];
export type OnProgress = (phase: Phase, done: number, total: number) => void;
export type Blobs = ReadonlyMap<Digest, Uint8Array<ArrayBuffer>>;

/** Reads all blobs of a stage, as `readBlobs`. */
export async function readStageBlobs(
  { manifest, range, blobs }: WorkerCalls['load']['request'],
  clock: Pick<Clock, 'setTimer'>,
): Promise<Blobs> {
  return readBlobs(stageBlobs(manifest, range), blobs, clock);
}

/**
 * Cuts, creates, warms up and probes one stage on one backend. Throws `bad-model`, `unsupported-model`,
 * `out-of-memory` or `probe-failed`, and then holds nothing.
 */
export async function loadStage(
  backend: OpenBackend,
  { manifest, range, probe, maxSessions }: WorkerCalls['load']['request'],
  blobs: Blobs,
  onProgress: OnProgress,
): Promise<{ stage: ServedStage; probed: ProbeResult; numericClass: string }> {
  const blob = (digest: Digest): Uint8Array<ArrayBuffer> => blobs.get(digest) as Uint8Array<ArrayBuffer>;
  onProgress('cut', 0, 1);
  const cut = cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
  onProgress('create', 0, 1);
  const { loaded, numericClass } = await loadCutStage(backend, cut, manifest.config);
  const stage = createServedStage({ loaded, manifest, range, maxSessions });
  try {
    const probed = await probeStage(stage, probeValues(manifest, range, blob), probe, onProgress);
    return { stage, probed, numericClass };
  } catch (thrown) {
    await stage.release();
    throw thrown;
  }
}

/** A cut stage in the engine, where the backend has it and it knows the graph; else in the inference runtime. */
export async function loadCutStage(
  backend: OpenBackend,
  cut: CutStage,
  sizes: GraphSizes,
): Promise<{ loaded: LoadedGraph; numericClass: string }> {
  const { device, engine, info } = backend;
  if (engine === null) {
    return {
      loaded: await loadGraph({ runtime: await backend.runtime(), device }, stageGraph(cut, device === null), sizes),
      numericClass: info.numericClass,
    };
  }
  try {
    const { hiddenSize, vocabularySize } = sizes;
    const plan = planStage({ ...cut, hiddenSize, vocabularySize });
    const loaded = await loadEngineGraph({ module: await engine(), plan, read: cut.read, vocabularySize });
    return { loaded, numericClass: info.numericClass };
  } catch (thrown) {
    if (!(thrown instanceof NotPlanned)) throw thrown;
    const runtime = await backend.runtime();
    return {
      loaded: await loadGraph({ runtime, device }, stageGraph(cut, true), sizes),
      numericClass: RUNTIME_CLASS,
    };
  }
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
  blobs: Blobs,
): Promise<number | null> {
  if (range.start === range.end) return null;
  const layer = { start: range.start, end: range.start + 1, embedding: false, head: false };
  const blob = (digest: Digest): Uint8Array<ArrayBuffer> => blobs.get(digest) as Uint8Array<ArrayBuffer>;
  const { config } = manifest;
  try {
    const cut = cutStage({ manifest, graph: blob(manifest.graph.digest), range: layer, blob });
    const { vocabularySize } = config;
    const loaded = await loadEngineGraph({
      module,
      plan: planStage({ ...cut, ...config }),
      read: cut.read,
      vocabularySize,
    });
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
function probeValues(
  { config, probe }: Manifest,
  range: StageRange,
  blob: (digest: Digest) => Uint8Array<ArrayBuffer>,
): ProbeValues {
  const positions = probe.tokens.length;
  const read = (ref: BlobRef | undefined, rowLength: number): Float32Array => {
    const bytes = ref && blob(ref.digest);
    if (bytes?.length !== 4 * positions * rowLength)
      throw new ChorusError('bad-manifest', 'a probe value has the wrong size');
    return new Float32Array(bytes.slice().buffer);
  };
  return {
    positions,
    input: range.embedding ? Uint32Array.from(probe.tokens) : read(probe.boundaries[range.start], config.hiddenSize),
    expected: range.head
      ? read(probe.logits, config.vocabularySize)
      : read(probe.boundaries[range.end], config.hiddenSize),
    tolerance: probe.tolerance,
  };
}
