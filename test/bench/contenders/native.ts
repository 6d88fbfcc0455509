import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Contender } from './contender.ts';
import { modulesFolder } from './install.ts';

/** What is used here of node-llama-cpp, which is not there when types are checked. */
interface NodeLlamaCpp {
  getLlama(options: Readonly<Record<string, unknown>>): Promise<Llama>;
}
interface Llama {
  loadModel(options: { modelPath: string }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}
interface LlamaModel {
  createContext(options: Readonly<Record<string, unknown>>): Promise<{ getSequence(): Sequence }>;
}
interface Sequence {
  readonly nextTokenIndex: number;
  clearHistory(): Promise<void>;
  eraseContextTokenRanges(ranges: readonly { start: number; end: number }[]): Promise<void>;
  evaluate(tokens: readonly number[], options: Readonly<Record<string, unknown>>): AsyncGenerator<number, void>;
}

const greedy = { temperature: 0, yieldEogToken: true };

/** llama.cpp as machine code for this processor, in this process: what a browser's sandbox is measured against. */
export async function createNative(
  ggufPath: string,
  positions: number,
): Promise<Contender & { stop(): Promise<void> }> {
  const address = pathToFileURL(join(modulesFolder, 'node-llama-cpp/dist/index.js')).href;
  const { getLlama } = (await import(address)) as NodeLlamaCpp;
  // Without a limit of its own, a context has exactly the threads that it asks for.
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 0, logLevel: 'error' });
  const model = await llama.loadModel({ modelPath: ggufPath });
  const sequence = (await model.createContext({ contextSize: positions, threads: 1 })).getSequence();
  let [length, first] = [0, 0];

  async function draw(tokens: readonly number[], count: number): Promise<number> {
    const drawn = sequence.evaluate(tokens, greedy);
    let token = NaN;
    for (let i = 0; i < count; i++) token = (await drawn.next()).value ?? NaN;
    await drawn.return();
    return token;
  }

  return {
    async read({ tokens }) {
      await sequence.clearHistory();
      const startedMs = performance.now();
      first = await draw(tokens, 1);
      length = tokens.length;
      return { ms: performance.now() - startedMs, token: first };
    },
    async goOn(count) {
      await sequence.eraseContextTokenRanges([{ start: length, end: sequence.nextTokenIndex }]);
      const startedMs = performance.now();
      await draw([first], count);
      return performance.now() - startedMs;
    },
    stop: () => llama.dispose(),
  };
}
