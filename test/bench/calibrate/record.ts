import { concatBytes, equalBytes } from '#shared/bytes.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { importWren, type ImportedWren } from '../../support/imported-wren.ts';
import { wrenCorpus } from '../../support/traces/corpus.ts';
import { createEngineTracer } from '../../support/traces/engine-tracer.ts';
import { cachedTracer, keptBytes, type CachedTracer } from '../../support/traces/trace-cache.ts';
import type { TracedModel, Tracer } from '../../support/traces/tracer.ts';
import { createWasmTracer } from '../../support/traces/wasm-tracer.ts';
import { createChromiumTracer } from './chromium-tracer.ts';
import { substitutionsOf, traceSubstitutes, type SubstituteTrace } from './substitutions.ts';
import {
  evenRanges,
  randomHistory,
  syntheticModels,
  traceModel,
  tracedWren,
  type SessionPlan,
  type TracedSession,
} from './trace-set.ts';

export interface Recording {
  readonly sessions: readonly TracedSession[];
  readonly substitutes: readonly SubstituteTrace[];
  readonly webGpu: CachedTracer;
  /** Whole chunks that an exact class computed in Node and in Chromium, in the same runs, and how many of them were equal. */
  readonly browsers: readonly { readonly numericClass: string; readonly chunks: number; readonly equal: number }[];
}

export interface RecordOptions {
  /** Computes everything anew instead of reading what an earlier run of the same left. */
  readonly isFresh: boolean;
  /** Of the GPU that is to be measured in place of SwiftShader. */
  readonly gpuClass?: string | null;
  /**
   * For attacks on the limits that were made of the smaller set: more of the default model, and neither synthetic graphs nor
   * the comparison with a browser.
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
  const engine = cachedTracer(ENGINE_CLASS, () => Promise.resolve(createEngineTracer()), isFresh);
  const wasm = cachedTracer(RUNTIME_CLASS, () => Promise.resolve(createWasmTracer()), isFresh);
  const webGpu =
    gpuClass === null ? swiftShader(isFresh) : cachedTracer(gpuClass, () => createChromiumTracer('gpu'), isFresh);
  const sessions: TracedSession[] = [];
  const substitutes: SubstituteTrace[] = [];
  const started = performance.now();
  const say = (what: string): void => onProgress(`${Math.round((performance.now() - started) / 1000)} s: ${what}`);
  const onProcessor = [wasm, engine].map((tracer) => ({ tracer, sessions: Infinity, positions: Infinity }));
  try {
    const q4 = await importWren('q4');
    say('histories');
    const corpus = await keptHistories(q4, isFresh);
    say('wren-q4, two stages');
    const plans = wrenPlans(wasm, engine, webGpu, forAttacks);
    const wren = await traceModel(tracedWren(q4), evenRanges(8, 2), corpus, plans, wasm);
    sessions.push(...wren);
    const everywhere = [...onProcessor, { tracer: webGpu, sessions: 1, positions: 128 }];
    substitutes.push(...(await traceSubstitutes(wren, await substitutionsOf(q4), everywhere, say)));
    say('wren-q4, four stages and one');
    const short = corpus.slice(0, forAttacks ? 12 : CALIBRATED.short).map((history) => history.slice(0, 128));
    const shortPlans: SessionPlan[] = [
      ...processorPlans(wasm, engine, short, 24),
      { tracer: webGpu, session: 0, chunk: 128, primary: [48, 64] },
    ];
    for (const stages of [4, 1])
      sessions.push(...(await traceModel(tracedWren(q4), evenRanges(8, stages), short, shortPlans, wasm)));
    for (const quant of ['q8', 'fp32'] as const) {
      say(`wren-${quant}`);
      const imported = await importWren(quant);
      const histories = forAttacks ? corpus : short;
      const quantPlans: SessionPlan[] = [
        ...processorPlans(wasm, engine, histories.slice(0, 4), 24),
        { tracer: webGpu, session: 0, chunk: forAttacks ? POSITIONS : 96, primary: null },
      ];
      const traced = await traceModel(tracedWren(imported), evenRanges(8, 2), histories, quantPlans, wasm);
      sessions.push(...traced);
      substitutes.push(...(await traceSubstitutes(traced, await substitutionsOf(imported), onProcessor, say)));
    }
    for (const model of forAttacks ? [] : await syntheticModels()) {
      say(model.name);
      const { layers, vocabularySize } = model.manifest.config;
      const histories = [1, 2, 3, 4].map((seed) => randomHistory(96, vocabularySize, seed));
      const syntheticPlans: SessionPlan[] = [
        ...processorPlans(wasm, engine, histories, 20),
        // SwiftShader has no f16 arithmetic.
        ...(gpuClass === null && hasHalfArithmetic(model)
          ? []
          : [{ tracer: webGpu, session: 0, chunk: 64, primary: [40, 64] as const }]),
      ];
      sessions.push(...(await traceModel(model, evenRanges(layers, 2), histories, syntheticPlans, wasm)));
    }
    say('recorded');
    return { sessions, substitutes, webGpu, browsers: forAttacks ? [] : await compareBrowser(wren) };
  } finally {
    await webGpu.stop();
  }
}

/** Histories as the runtime's primaries run them, and as the engine does, chunk by chunk too. */
function processorPlans(
  wasm: Tracer,
  engine: Tracer,
  histories: readonly Uint32Array[],
  prompt: number,
): SessionPlan[] {
  return histories.flatMap(({ length }, session): SessionPlan[] => {
    const primary = [prompt, Math.min(128, length)] as const;
    return [
      { tracer: wasm, session, chunk: 0, primary },
      { tracer: engine, session, chunk: length, primary },
    ];
  });
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

/** WebAssembly is the same wherever it runs, so its rows must be. */
async function compareBrowser(sessions: readonly TracedSession[]): Promise<Recording['browsers']> {
  const found: Recording['browsers'][number][] = [];
  for (const [kind, numericClass] of [
    ['wasm', RUNTIME_CLASS],
    ['engine', ENGINE_CLASS],
  ] as const) {
    const tracer = await createChromiumTracer(kind);
    try {
      let [chunks, equal] = [0, 0];
      for (const { model, range, input, traces } of sessions.filter(({ session }) => session < 2)) {
        const { plan, rows } = traces.find((trace) => trace.numericClass === numericClass && trace.shape === 'chunk')!;
        const [other] = await tracer.trace(model, range, [{ input, plan }]);
        if (tracer.numericClass !== numericClass) throw new Error(`Chromium ran ${tracer.numericClass}`);
        const bytes = rows.length / plan.length;
        plan.forEach((_, i) => {
          chunks++;
          if (equalBytes(rows.subarray(i * bytes, (i + 1) * bytes), other!.subarray(i * bytes, (i + 1) * bytes)))
            equal++;
        });
      }
      found.push({ numericClass, chunks, equal });
    } finally {
      await tracer.stop();
    }
  }
  return found;
}

function hasHalfArithmetic({ manifest }: TracedModel): boolean {
  return manifest.pins.quantization === 'q4f16' || manifest.pins.quantization === 'fp16';
}

function wrenPlans(wasm: Tracer, engine: Tracer, webGpu: Tracer, forAttacks: boolean): SessionPlan[] {
  const primaries = [
    [32, 96],
    [192, 224],
    [40, 64],
  ] as const;
  return [
    ...Array.from({ length: HISTORIES }, (_, session): SessionPlan[] => {
      const prompt = 20 + ((session * 37) % 200);
      const primary = [prompt, prompt + 224] as const;
      return [
        { tracer: wasm, session, chunk: 0, primary },
        { tracer: engine, session, chunk: POSITIONS, primary },
      ];
    }).flat(),
    ...primaries.map((primary, session): SessionPlan => ({ tracer: webGpu, session, chunk: 256, primary })),
    ...Array.from({ length: forAttacks ? HISTORIES - CALIBRATED.webGpu : 0 }, (_, i): SessionPlan => {
      return { tracer: webGpu, session: CALIBRATED.webGpu + i, chunk: POSITIONS, primary: null };
    }),
  ];
}
