import type { Contender, Material, Prompt } from '../contender.ts';
import type { GgufQuantization } from '../llama-gguf.ts';
import { tokenNamed } from '../prompt.ts';

/** What is used here of wllama, which is not there when types are checked. */
interface WllamaModule {
  readonly Wllama: new (paths: { default: string }, options: { suppressNativeLog: boolean }) => Wllama;
}
interface Wllama {
  loadModel(files: readonly Blob[], options: Readonly<Record<string, unknown>>): Promise<void>;
  createCompletion(options: Readonly<Record<string, unknown>>): Promise<void>;
}
interface Chunk {
  readonly choices: readonly { readonly text: string }[];
  readonly timings?: { readonly prompt_n: number };
}

/** llama.cpp on WebAssembly, in the thread that wllama makes for it. */
export async function createWllama(
  { wllamaUrl, importedUrl, positions }: Material,
  type: GgufQuantization,
): Promise<Contender> {
  const { Wllama } = (await import(/* @vite-ignore */ `${wllamaUrl}/index.js`)) as WllamaModule;
  const wllama = new Wllama({ default: `${wllamaUrl}/wasm/wllama.wasm` }, { suppressNativeLog: true });
  const options = { n_ctx: positions, n_threads: 1, n_gpu_layers: 0, n_parallel: 1 };
  await wllama.loadModel([await (await fetch(`${importedUrl}/${type}.gguf`)).blob()], options);

  /** Draws tokens after a prompt; answers when each was there, and how many tokens of the prompt were read for that. */
  async function complete({ text }: Prompt, count: number, isKept: boolean) {
    const drawn: { readonly atMs: number; readonly token: number }[] = [];
    let promptTokens = 0;
    await wllama.createCompletion({
      ...{ prompt: text, max_tokens: count, temperature: 0, top_k: 1, ignore_eos: true, cache_prompt: isKept },
      ...{ stream: true, timings_per_token: true },
      onData({ choices, timings }: Chunk) {
        if (choices[0]?.text) drawn.push({ atMs: performance.now(), token: tokenNamed(choices[0].text) });
        promptTokens = timings?.prompt_n ?? promptTokens;
      },
    });
    if (drawn.length !== count) throw new Error(`${drawn.length} tokens came, ${count} were asked for`);
    return { drawn, promptTokens };
  }

  let kept: Prompt | null = null;
  return {
    async read(prompt) {
      kept = prompt;
      const startedMs = performance.now();
      const { drawn, promptTokens } = await complete(prompt, 1, false);
      if (promptTokens !== prompt.tokens.length) throw new Error(`the prompt became ${promptTokens} tokens`);
      return { ms: drawn[0]!.atMs - startedMs, token: drawn[0]!.token };
    },
    async goOn(count) {
      // It takes text only, and reads the last token of a prompt anew to draw the first one again.
      const { drawn, promptTokens } = await complete(kept!, count + 1, true);
      if (promptTokens !== 1) throw new Error(`${promptTokens} tokens were read where all but one were kept`);
      return drawn.at(-1)!.atMs - drawn[0]!.atMs;
    },
  };
}
