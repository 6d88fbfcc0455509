import { ChorusError } from '#shared/errors.ts';
import type { StageGraph } from '#shared/model/cut.ts';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { tensorData, createDeviceKv, createHostKv, kvBytes, type KvShape, type KvStore } from './kv-store.ts';
import type { InferenceSession, Runtime, Tensor } from './runtime.ts';
import { encodeCandidates } from './top-candidates.ts';

/** A runtime with the device it computes on; null is the processor. */
export interface Backend {
  readonly runtime: Runtime;
  readonly device: GPUDevice | null;
}

export interface GraphSizes {
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/** The input of a stage for positions [start, start + count): token ids, or f32 hidden rows [count, hiddenSize]. */
export type StageInput = Uint32Array | Float32Array;

/** A stage's graph, loaded: numbers in, numbers out. Runs of all its sessions must not overlap. */
export interface LoadedGraph {
  /** Bytes that the weights take. */
  readonly weightBytes: number;
  /** Bytes one session of `capacity` positions takes at most. */
  kvBytes(capacity: number): number;
  /** Throws `out-of-memory`. */
  open(capacity: number): Promise<GraphSession>;
  release(): Promise<void>;
}

/** One session's keys and values, and the runs that add to them. */
export interface GraphSession {
  /**
   * Runs `count` positions from `start` on, where the session ends, and adds them to it. Returns f32 rows [count, hiddenSize],
   * or logits [wanted.length, vocabularySize] for the `wanted` places within this run. If it throws, the session is unchanged
   * up to `start`. Throws `out-of-memory`, `worker-lost` or `device-lost`; after the last two nothing here can be used again.
   */
  forward(start: number, count: number, input: StageInput, wanted: readonly number[]): Promise<Float32Array>;
  /** As `forward` of a stage with the head, but rows of candidates (top-candidates.ts) for the `wanted` places. */
  candidates(
    start: number,
    count: number,
    input: StageInput,
    wanted: readonly number[],
  ): Promise<Uint8Array<ArrayBuffer>>;
  /** Forgets positions at `length` and after. */
  cut(length: number): void;
  release(): void;
}

/** Hands `graph` to the runtime. Creations and runs of one runtime must not overlap. Throws `out-of-memory` or `bad-model`. */
export async function loadGraph(
  { runtime, device }: Backend,
  graph: StageGraph,
  sizes: GraphSizes,
): Promise<LoadedGraph> {
  const { io } = graph;
  const kvShape: KvShape = { names: io.past, type: io.kvType, heads: sizes.kvHeads, headSize: sizes.headSize };
  const session = await createSession(runtime, device, graph);

  function feedsFor(
    start: number,
    count: number,
    input: StageInput,
    wanted: readonly number[],
  ): Record<string, Tensor> {
    const feeds: Record<string, Tensor> = {};
    const int64 = (values: BigInt64Array, dims: number[]): Tensor => new runtime.Tensor('int64', values, dims);
    if (io.tokens !== null) feeds[io.tokens] = int64(BigInt64Array.from(input, BigInt), [1, count]);
    if (io.hidden !== null) {
      const rows = input as Float32Array;
      const data = io.activationType === 'float16' ? new Uint16Array(encodeF16(rows).buffer) : rows;
      feeds[io.hidden] = new runtime.Tensor(io.activationType, data, [1, count, sizes.hiddenSize]);
    }
    if (io.attentionMask !== null)
      feeds[io.attentionMask] = int64(new BigInt64Array(start + count).fill(1n), [1, start + count]);
    if (io.positionIds !== null) {
      feeds[io.positionIds] = int64(
        BigInt64Array.from({ length: count }, (_, i) => BigInt(start + i)),
        [1, count],
      );
    }
    if (io.logitsIndex !== null) feeds[io.logitsIndex] = int64(BigInt64Array.from(wanted, BigInt), [wanted.length]);
    return feeds;
  }

  async function forward(
    kv: KvStore,
    start: number,
    count: number,
    input: StageInput,
    wanted: readonly number[],
  ): Promise<Float32Array> {
    // A tensor without elements cannot be bound on a GPU, so one row is computed and dropped.
    const asked = io.logitsIndex !== null && wanted.length === 0 ? [0] : wanted;
    const feeds = { ...feedsFor(start, count, input, asked), ...kv.past() };
    const outputs = await session
      .run(feeds, { ...kv.present(), [io.output]: null })
      .catch((thrown: unknown) => Promise.reject(runError(thrown, device !== null)));
    kv.keep(outputs);
    const values = floatsOf(outputs[io.output] as Tensor);
    return asked === wanted ? values : values.subarray(0, 0);
  }

  return {
    weightBytes: graph.weightBytes,
    kvBytes: (capacity) => kvBytes(kvShape, capacity),
    async open(capacity) {
      const kv =
        device === null ? createHostKv(runtime, kvShape) : await createDeviceKv(runtime, device, kvShape, capacity);
      return {
        forward: (start, count, input, wanted) => forward(kv, start, count, input, wanted),
        candidates: async (start, count, input, wanted) =>
          encodeCandidates(await forward(kv, start, count, input, wanted), sizes.vocabularySize),
        cut: (length) => kv.cut(length),
        release: () => kv.release(),
      };
    },
    release: () => session.release(),
  };
}

function createSession(runtime: Runtime, device: GPUDevice | null, graph: StageGraph): Promise<InferenceSession> {
  const present = graph.io.past.flatMap((names) => [names.presentKey, names.presentValue]);
  const locations = Object.fromEntries(present.map((name) => [name, 'gpu-buffer' as const]));
  return runtime.InferenceSession.create(graph.model, {
    executionProviders: [device === null ? 'wasm' : { name: 'webgpu', device }],
    externalData: graph.externalData,
    // Errors only: that shape computations stay on the processor is no news.
    logSeverityLevel: 3,
    ...(device !== null && { preferredOutputLocation: locations }),
  }).catch((thrown: unknown) => Promise.reject(runtimeError(thrown, 'bad-model')));
}

function floatsOf(tensor: Tensor): Float32Array {
  return tensor.type === 'float16' ? decodeF16(tensorData(tensor)) : (tensor.data as Float32Array);
}

/** A failed run. On a GPU the runtime keeps half-made bindings after one, so that nothing there can be used again. */
function runError(thrown: unknown, isOnDevice: boolean): ChorusError {
  const error = runtimeError(thrown, 'internal');
  return isOnDevice ? new ChorusError('device-lost', 'the graphics device failed', {}, error.raw) : error;
}

/** A failure of the runtime as a ChorusError. After an abort its memory is in no known state: the thread is lost. */
function runtimeError(thrown: unknown, otherwise: 'internal' | 'bad-model'): ChorusError {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const isAbort = thrown instanceof WebAssembly.RuntimeError || /\baborted\b/i.test(message);
  if (isAbort) return new ChorusError('worker-lost', 'the runtime has ended', {}, message);
  const isMemory = thrown instanceof RangeError || /bad_alloc|out of memory|allocation failed/i.test(message);
  if (isMemory) return new ChorusError('out-of-memory', 'the runtime found no more memory', {}, message);
  const ours =
    otherwise === 'bad-model' ? 'the runtime could not load the stage' : 'the runtime could not run the stage';
  return new ChorusError(otherwise, ours, { isOfRuntime: true }, message);
}
