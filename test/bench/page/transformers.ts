import { AutoModelForCausalLM, env, Tensor } from '@xenova/transformers';
import type { Contender } from '../contender.ts';

/** The q4 file of the folder `name` below `foldersUrl`, on WASM as it comes, in this page's one thread. */
export async function loadTransformersModel(foldersUrl: string, name: string, hasDataFile: boolean) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = foldersUrl;
  env.useBrowserCache = false;
  const { wasm } = env.backends.onnx;
  if (wasm !== undefined) {
    wasm.wasmPaths = '/node_modules/@xenova/transformers/node_modules/onnxruntime-web/dist/';
    wasm.numThreads = 1;
  }
  return AutoModelForCausalLM.from_pretrained(name, {
    ...{ dtype: 'q4', device: 'wasm', use_external_data_format: hasDataFile },
  });
}

/** transformers.js on the uncut model, with files of this repository only. */
export async function createTransformers(): Promise<Contender> {
  const model = await loadTransformersModel('/models/', 'wren', false);
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
