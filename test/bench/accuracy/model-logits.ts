/**
 * How far a GGUF model's logits after 32 prompts are from those of fp32, and whether greedy answers are the same: of our engine, of
 * llama.cpp with the same file, and of llama.cpp with the file unfolded to F32. fp32 is the graph unfolded, in onnxruntime.
 * usage: npx tsx test/bench/accuracy/model-logits.ts FILE.gguf NODE-LLAMA-CPP-FOLDER [PROMPTS]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { stageGraph } from '#shared/model/cut.ts';
import { openModelText } from '#shared/text/model-text.ts';
import { openModel } from '../../../signal-server/import/open-model.ts';
import { loadGraph, type LoadedGraph } from '../../../worker/loaded-graph.ts';
import { loadRuntime } from '../../../worker/runtime.ts';
import { engineOf, wholeStage } from '../../support/opened-engine.ts';
import { conversations } from '../../support/prompts.ts';
import { unfoldGguf } from './unfold-gguf.ts';

const POSITIONS = 512;
const ANSWER_TOKENS = 12;
/** Two tokens whose logits are closer than this may come in either order. */
const NEAR_TIE = 0.25;
const LIKELIEST = 64;

interface Answer {
  /** Log-probabilities of the first token. */
  readonly first: Float64Array;
  readonly tokens: readonly number[];
  /** How much likelier each token was than the second likeliest; of the exact one. */
  readonly leads: readonly number[];
}
type Ask = (prompt: readonly number[]) => Promise<Answer>;

const [path = '', llamaFolder = '', count = '32'] = process.argv.slice(2);
const opened = await openModel(resolve(path), { maxPositions: POSITIONS, onReading: () => undefined }, []);
const { folder } = opened;
const text = openModelText(folder.tokenizer, folder.tokenizerConfig);
const step = conversations.length / Number(count);
const prompts = Array.from({ length: Number(count) }, (_, i) => {
  const messages = conversations[Math.floor(i * step)]!;
  return text.encodePrompt(text.chatPrompt([...messages])).slice(0, POSITIONS - ANSWER_TOKENS);
});
const { cut, sizes } = wholeStage(opened, POSITIONS);
const engine = await engineOf(opened, POSITIONS);
const ours = await answersOf('the engine', asked(engine));
await engine.release();
const runtime = await loadGraph({ runtime: await loadRuntime('wasm'), device: null }, stageGraph(cut(), true), sizes);
const exact = await answersOf('fp32', asked(runtime));
await runtime.release();
compare('the engine', ours, exact);
const scratch = await mkdtemp(join(tmpdir(), 'chorus-logits-'));
try {
  const unfolded = join(scratch, 'unfolded.gguf');
  await unfoldGguf(resolve(path), unfolded);
  const wide = await answersOf('llama.cpp, F32', await llama(unfolded));
  const same = await answersOf('llama.cpp', await llama(resolve(path)));
  compare('llama.cpp, F32', wide, exact);
  compare('llama.cpp', same, exact);
  compare('the engine against llama.cpp, F32', ours, wide);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
process.exit();

async function answersOf(who: string, ask: Ask): Promise<Answer[]> {
  const answers: Answer[] = [];
  const began = performance.now();
  for (const prompt of prompts) answers.push(await ask(prompt));
  console.log(`${who}: ${answers.length} prompts in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  return answers;
}

function asked(graph: LoadedGraph): Ask {
  return async (prompt) => {
    const session = await graph.open(POSITIONS);
    let logits = await session.forward(0, prompt.length, Uint32Array.from(prompt), [prompt.length - 1]);
    const first = logProbabilities(logits);
    const [tokens, leads]: [number[], number[]] = [[], []];
    for (let at = prompt.length; tokens.length < ANSWER_TOKENS; at++) {
      const [best, lead] = bestOf(logits);
      tokens.push(best);
      leads.push(lead);
      if (folder.endTokens.includes(best)) break;
      logits = await session.forward(at, 1, Uint32Array.of(best), [0]);
    }
    session.release();
    return { first, tokens, leads };
  };
}

async function llama(model: string): Promise<Ask> {
  const library = (await import(pathToFileURL(resolve(llamaFolder, 'dist/index.js')).href)) as {
    getLlama: (options: object) => Promise<LlamaLibrary>;
  };
  const instance = await library.getLlama({ gpu: false, build: 'never' });
  const loaded = await instance.loadModel({ modelPath: model });
  const context = await loaded.createContext({ contextSize: POSITIONS, flashAttention: false });
  const sequence = context.getSequence();
  return async (prompt) => {
    await sequence.clearHistory();
    const run = async (tokens: readonly number[], wish: object) => {
      const input = tokens.map((token, i) => (i === tokens.length - 1 ? [token, { generateNext: wish }] : token));
      return (await sequence.controlledEvaluate(input)).at(-1)!.next!;
    };
    // The library takes seconds for the probabilities of all tokens, so they are asked for once.
    const nothing = { temperature: 1, topK: 0, topP: 1, minP: 0 };
    const { probabilities } = await run(prompt, { probabilities: true, options: nothing });
    const first = new Float64Array(sizes.vocabularySize).fill(-100);
    for (const [token, probability] of probabilities) first[token] = Math.max(-100, Math.log(probability));
    const tokens = [bestOf(first)[0]];
    while (tokens.length < ANSWER_TOKENS && !folder.endTokens.includes(tokens.at(-1)!)) {
      const { token } = await run([tokens.at(-1)!], { token: true, options: { temperature: 0 } });
      tokens.push(token);
    }
    return { first, tokens, leads: [] };
  };
}

interface LlamaLibrary {
  loadModel(options: object): Promise<{ createContext(options: object): Promise<{ getSequence(): LlamaSequence }> }>;
}
interface LlamaNext {
  probabilities: Map<number, number>;
  token: number;
}
interface LlamaSequence {
  clearHistory(): Promise<void>;
  controlledEvaluate(
    input: readonly unknown[],
  ): Promise<({ next?: LlamaNext } | undefined)[] & { at(i: number): { next?: LlamaNext } | undefined }>;
}

function logProbabilities(logits: Float32Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  return Float64Array.from(logits, (logit) => logit - most - Math.log(sum));
}

function bestOf(logits: Float32Array | Float64Array): [best: number, lead: number] {
  let [best, second] = [0, -Infinity];
  for (let i = 1; i < logits.length; i++) {
    if (logits[i]! > logits[best]!) {
      second = logits[best]!;
      best = i;
    } else second = Math.max(second, logits[i]!);
  }
  return [best, logits[best]! - second];
}

/** Over the likeliest tokens of the exact one: the rest says nothing, and its probabilities have few digits. */
function compare(who: string, answers: readonly Answer[], exact: readonly Answer[]): void {
  const differences: number[] = [];
  let [sameFirst, sameAnswer, nearTies, worstLead] = [0, 0, 0, 0];
  for (const [i, { first, tokens }] of answers.entries()) {
    const other = exact[i]!;
    const likeliest = [...other.first.keys()].sort((a, b) => other.first[b]! - other.first[a]!).slice(0, LIKELIEST);
    differences.push(...likeliest.map((token) => Math.abs(first[token]! - other.first[token]!)));
    if (tokens[0] === other.tokens[0]) sameFirst++;
    const parted = other.tokens.findIndex((token, at) => token !== tokens[at]);
    if (parted === -1) sameAnswer++;
    else {
      worstLead = Math.max(worstLead, other.leads[parted]!);
      if (other.leads[parted]! < NEAR_TIE) nearTies++;
    }
  }
  const mean = Math.sqrt(differences.reduce((sum, value) => sum + value * value, 0) / differences.length);
  console.log(
    `${who}: log-probabilities of the ${LIKELIEST} likeliest tokens differ by ${mean.toExponential(1)} (root mean square), ` +
      `${Math.max(...differences).toExponential(1)} at most; first token the same ${sameFirst} of ${answers.length}; ` +
      `answers of ${ANSWER_TOKENS} tokens the same ${sameAnswer}, parted at a near tie (< ${NEAR_TIE}) ${nearTies}, ` +
      `the clearest parted token led by ${worstLead.toFixed(3)}`,
  );
}
