import { AutoModelForCausalLM, env, Tensor } from '@xenova/transformers';
import type { Contender } from '../contender.ts';

/**
 * The builds of transformers.js's runtime: what it takes in Chromium can use WebGPU too and lacks some operators on the processor;
 * what it takes in a Safari without WebGPU has them.
 */
const builds = { both: 'ort-wasm-simd-threaded.asyncify', processor: 'ort-wasm-simd-threaded' } as const;

export interface TransformersFolder {
  /** Where the folder `name` is. */
  readonly url: string;
  readonly name: string;
  /** True if weights lie in a file beside the graph. */
  readonly hasDataFile: boolean;
}

/** A folder's q4 file on WASM, in this page's one thread. */
export async function loadTransformersModel(folder: TransformersFolder, build: keyof typeof builds) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = folder.url;
  env.useBrowserCache = false;
  const { wasm } = env.backends.onnx;
  if (wasm !== undefined) {
    const file = `/node_modules/@xenova/transformers/node_modules/onnxruntime-web/dist/${builds[build]}`;
    wasm.wasmPaths = { mjs: `${file}.mjs`, wasm: `${file}.wasm` };
    wasm.numThreads = 1;
  }
  return AutoModelForCausalLM.from_pretrained(folder.name, {
    ...{ dtype: 'q4', device: 'wasm', use_external_data_format: folder.hasDataFile },
  });
}

/** transformers.js on the uncut model, with files of this repository only. */
export async function createTransformers(): Promise<Contender> {
  const model = await loadTransformersModel({ url: '/models/', name: 'wren', hasDataFile: false }, 'both');
  return {
    async generate(prompt, count) {
      const ids = new Tensor('int64', BigInt64Array.from(prompt, BigInt), [1, prompt.length]);
      const mask = new Tensor('int64', new BigInt64Array(prompt.length).fill(1n), [1, prompt.length]);
      const startedAtMs = performance.now();
      const seenAtMs: number[] = [];
      const streamer = { put: () => void seenAtMs.push(performance.now()), end: () => undefined };
      const output = (await model.generate({
        inputs: ids,
        attention_mask: mask,
        max_new_tokens: count,
        do_sample: false,
        // Takes the criterion away; the published type forgets that.
        eos_token_id: null as unknown as number,
        streamer: streamer as never,
      })) as Tensor;
      // The streamer is given the prompt first.
      const [, firstAtMs = startedAtMs] = seenAtMs;
      return {
        tokens: Array.from(output.data as BigInt64Array, Number).slice(prompt.length),
        firstTokenMs: firstAtMs - startedAtMs,
        decodeMs: (seenAtMs.at(-1) ?? firstAtMs) - firstAtMs,
        laps: [],
      };
    },
  };
}
