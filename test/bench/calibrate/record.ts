import { concatBytes, equalBytes } from '#shared/bytes.ts';
import { importWren, type ImportedWren } from '../../support/imported-wren.ts';
import { wrenCorpus } from '../../support/traces/corpus.ts';
import { withNeighbourWeights, withThreeBits, withUnroundedWeights } from '../../support/traces/substitutes.ts';
import { cachedTracer, keptBytes, type CachedTracer } from '../../support/traces/trace-cache.ts';
import { chunkPlan, type TracedModel, type Tracer } from '../../support/traces/tracer.ts';
import { createWasmTracer } from '../../support/traces/wasm-tracer.ts';
import { createChromiumTracer } from './chromium-tracer.ts';
import {
  evenRanges,
  randomHistory,
  syntheticModels,
  traceModel,
  tracedWren,
  type SessionPlan,
  type TracedSession,
} from './trace-set.ts';

/** The output of a liar's device for a session that honest devices were traced on. */
export interface SubstituteTrace {
  readonly name: string;
  readonly numericClass: string;
  readonly of: TracedSession;
  readonly positions: number;
  readonly rows: Uint8Array<ArrayBuffer>;
}

export interface Recording {
  readonly sessions: readonly TracedSession[];
  readonly substitutes: readonly SubstituteTrace[];
  readonly webGpu: CachedTracer;
  /** Whole chunks that WASM computed in Node and in Chromium, in the same runs, and how many of them were equal. */
  readonly engines: { readonly chunks: number; readonly equal: number };
}

export interface RecordOptions {
  /** Computes everything anew instead of reading what an earlier run of the same left. */
  readonly isFresh: boolean;
  /** Of the GPU that is to be measured in place of SwiftShader. */
  readonly gpuClass?: string | null;
  /**
   * For attacks on the limits that were made of the smaller set: more of the default model, and neither synthetic graphs nor
   * the comparison of two engines.
   */
  readonly forAttacks?: boolean;
  readonly onProgress: (what: string) => void;
}

const SWIFTSHADER = 'webgpu/google/swiftshader';
/** Histories of the default model, and their length. */
const HISTORIES = 14;
const POSITIONS = 480;
/** How many histories the limits are made of: short ones, and those that WebGPU ran. */
export const CALIBRATED = { short: 4, webGpu: 3 } as const;

/** Runs honest devices and those with wrong weights over the default model and the synthetic graphs. */
export async function record({
  isFresh,
  gpuClass = null,
  forAttacks = false,
  onProgress,
}: RecordOptions): Promise<Recording> {
  const wasm = cachedTracer('wasm', () => Promise.resolve(createWasmTracer()), isFresh);
  const webGpu =
    gpuClass === null ? swiftShader(isFresh) : cachedTracer(gpuClass, () => createChromiumTracer('gpu'), isFresh);
  const sessions: TracedSession[] = [];
  const substitutes: SubstituteTrace[] = [];
  const started = performance.now();
  const say = (what: string): void => onProgress(`${Math.round((performance.now() - started) / 1000)} s: ${what}`);
  try {
    const q4 = await importWren('q4');
    say('histories');
    const corpus = await keptHistories(q4, isFresh);
    say('wren-q4, two stages');
    const wren = await traceModel(tracedWren(q4), evenRanges(8, 2), corpus, wrenPlans(wasm, webGpu, forAttacks), wasm);
    sessions.push(...wren);
    substitutes.push(...(await substituteWeights(wren, await liarsOf(q4), wasm, webGpu, say)));
    say('wren-q4, four stages');
    const short = corpus.slice(0, forAttacks ? 12 : CALIBRATED.short).map((history) => history.slice(0, 128));
    const fourPlans: SessionPlan[] = [
      ...short.map((_, session) => ({ tracer: wasm, session, chunk: 0, primary: [24, 128] as const })),
      { tracer: webGpu, session: 0, chunk: 128, primary: [48, 64] },
    ];
    sessions.push(...(await traceModel(tracedWren(q4), evenRanges(8, 4), short, fourPlans, wasm)));
    for (const quant of ['q8', 'fp32'] as const) {
      say(`wren-${quant}`);
      const imported = await importWren(quant);
      const histories = forAttacks ? corpus : short;
      const plans: SessionPlan[] = [
        ...[0, 1, 2, 3].map((session) => ({ tracer: wasm, session, chunk: 0, primary: [24, 128] as const })),
        { tracer: webGpu, session: 0, chunk: forAttacks ? POSITIONS : 96, primary: null },
      ];
      const traced = await traceModel(tracedWren(imported), evenRanges(8, 2), histories, plans, wasm);
      sessions.push(...traced);
      substitutes.push(...(await substituteWeights(traced, await liarsOf(imported), wasm, null, say)));
    }
    for (const model of forAttacks ? [] : await syntheticModels()) {
      say(model.name);
      const { layers, vocabularySize } = model.manifest.config;
      const histories = [1, 2, 3, 4].map((seed) => randomHistory(96, vocabularySize, seed));
      const plans: SessionPlan[] = [
        ...[0, 1, 2, 3].map((session) => ({ tracer: wasm, session, chunk: 0, primary: [20, 96] as const })),
        // SwiftShader has no f16 arithmetic.
        ...(gpuClass === null && hasHalfArithmetic(model)
          ? []
          : [{ tracer: webGpu, session: 0, chunk: 64, primary: [40, 64] as const }]),
      ];
      sessions.push(...(await traceModel(model, evenRanges(layers, 2), histories, plans, wasm)));
    }
    say('recorded');
    const engines = forAttacks ? { chunks: 0, equal: 0 } : await compareEngines(wren);
    return { sessions, substitutes, webGpu, engines };
  } finally {
    await webGpu.stop();
  }
}

function swiftShader(isFresh: boolean): CachedTracer {
  return cachedTracer(SWIFTSHADER, () => createChromiumTracer('swiftshader'), isFresh);
}

/** The numeric class of this machine's GPU. Throws where Chromium finds none. */
export async function findGpuClass(): Promise<string> {
  const tracer = await createChromiumTracer('gpu');
  try {
    const [model] = await syntheticModels();
    const { hiddenSize, layers } = model!.manifest.config;
    const range = { start: layers - 1, end: layers, embedding: false, head: false };
    await tracer.trace(model!, range, [{ input: new Uint8Array(2 * hiddenSize), plan: [1] }]);
    return tracer.numericClass;
  } finally {
    await tracer.stop();
  }
}

/** The histories of the default model, read where an earlier run left them. */
export async function keptHistories(wren: ImportedWren, isFresh: boolean): Promise<Uint32Array[]> {
  const weights = wren.manifest.parts.map((part) => part.blob.digest);
  const key = { what: 'histories', weights, count: HISTORIES, positions: POSITIONS };
  const bytes = await keptBytes(key, isFresh, async () => {
    const histories = await wrenCorpus(wren, HISTORIES, POSITIONS);
    return concatBytes(...histories.map((tokens) => new Uint8Array(tokens.buffer)));
  });
  return Array.from({ length: HISTORIES }, (_, i) => {
    return new Uint32Array(bytes.slice(4 * POSITIONS * i, 4 * POSITIONS * (i + 1)).buffer);
  });
}

/** WebAssembly is the same in every engine, so its rows must be. */
async function compareEngines(sessions: readonly TracedSession[]): Promise<Recording['engines']> {
  const tracer = await createChromiumTracer('wasm');
  try {
    let [chunks, equal] = [0, 0];
    for (const { model, range, input, traces } of sessions.filter(({ session }) => session < 2)) {
      const [{ plan, rows }] = traces as [TracedSession['traces'][number]];
      const [other] = await tracer.trace(model, range, [{ input, plan }]);
      const bytes = rows.length / plan.length;
      plan.forEach((_, i) => {
        chunks++;
        if (equalBytes(rows.subarray(i * bytes, (i + 1) * bytes), other!.subarray(i * bytes, (i + 1) * bytes))) equal++;
      });
    }
    return { chunks, equal };
  } finally {
    await tracer.stop();
  }
}

function hasHalfArithmetic({ manifest }: TracedModel): boolean {
  return manifest.pins.quantization === 'q4f16' || manifest.pins.quantization === 'fp16';
}

function wrenPlans(wasm: Tracer, webGpu: Tracer, forAttacks: boolean): SessionPlan[] {
  const primaries = [
    [32, 96],
    [192, 224],
    [40, 64],
  ] as const;
  return [
    ...Array.from({ length: HISTORIES }, (_, session): SessionPlan => {
      const prompt = 20 + ((session * 37) % 200);
      return { tracer: wasm, session, chunk: 0, primary: [prompt, prompt + 224] };
    }),
    ...primaries.map((primary, session): SessionPlan => ({ tracer: webGpu, session, chunk: 256, primary })),
    ...Array.from({ length: forAttacks ? HISTORIES - CALIBRATED.webGpu : 0 }, (_, i): SessionPlan => {
      return { tracer: webGpu, session: CALIBRATED.webGpu + i, chunk: POSITIONS, primary: null };
    }),
  ];
}

/** Models that a volunteer may hold in place of `honest`, by what they are called. */
async function liarsOf(honest: ImportedWren): Promise<TracedModel[]> {
  const own = tracedWren(honest);
  const other = async (quant: 'q4' | 'q8' | 'fp32') => tracedWren(await importWren(quant));
  const fp32 = await importWren('fp32');
  const unrounded = withUnroundedWeights(tracedWren(fp32));
  switch (honest.manifest.pins.quantization) {
    case 'q4':
      return [await other('q8'), unrounded, withThreeBits(own), withNeighbourWeights(own)];
    case 'q8':
      return [await other('q4'), unrounded];
    default:
      return [await other('q4'), await other('q8'), unrounded];
  }
}

/** Runs each liar over the sessions; on WebGPU over the first 128 positions of one of them. */
async function substituteWeights(
  sessions: readonly TracedSession[],
  liars: readonly TracedModel[],
  wasm: Tracer,
  webGpu: Tracer | null,
  say: (what: string) => void,
): Promise<SubstituteTrace[]> {
  const substitutes: SubstituteTrace[] = [];
  for (const liar of liars) {
    say(`${liar.name} instead`);
    for (const range of new Set(sessions.map((session) => session.range))) {
      const own = sessions.filter((session) => session.range === range);
      const add = async (tracer: Tracer, of: readonly TracedSession[], limit: number): Promise<void> => {
        const lengths = of.map(({ traces: [first] }) => Math.min(limit, sum(first!.plan)));
        const runs = of.map(({ input, traces: [first] }, i) => {
          const rowBytes = input.length / sum(first!.plan);
          return { input: input.slice(0, lengths[i]! * rowBytes), plan: chunkPlan(lengths[i]!) };
        });
        const rows = await tracer.trace(liar, range, runs);
        of.forEach((session, i) => {
          const { numericClass } = tracer;
          substitutes.push({ name: liar.name, numericClass, of: session, positions: lengths[i]!, rows: rows[i]! });
        });
      };
      await add(wasm, own, Infinity);
      if (webGpu !== null) await add(webGpu, own.slice(0, 1), 128);
    }
  }
  return substitutes;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
