import type { Candidates } from '#shared/rows/logits-row.ts';
import { readCandidates } from '#shared/rows/logits-row.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import { sampleToken, tokenGap } from '#shared/rows/sampler.ts';
import { TOP_K } from '#shared/limits.ts';
import { importWren } from '../support/imported-wren.ts';
import { createEngineTracer } from '../support/traces/engine-tracer.ts';
import { chunkPlan, primaryPlan } from '../support/traces/tracer.ts';
import { createWasmTracer } from '../support/traces/wasm-tracer.ts';
import { keptHistories } from './calibrate/record.ts';
import { table } from './calibrate/tables.ts';
import { evenRanges, tracedWren } from './calibrate/trace-set.ts';

/**
 * How often two honest devices of different classes draw different tokens from the same rows: the default model's second
 * stage on the engine, token by token after a prompt, and on the runtime's WebAssembly, by chunks, under many seeds.
 * Prints the table of docs/verification.md.
 */
const [HISTORIES, POSITIONS, PROMPT, SEEDS] = [12, 224, 64, 32];
const samplings = [
  { name: '0', temperature: 0, topP: 1 },
  { name: '1', temperature: 1, topP: 1 },
  { name: '0.8, top-p 0.95', temperature: 0.8, topP: 0.95 },
];

const lines: string[][] = [];
const histories = await keptHistories(await importWren('q4'), false);
for (const quantization of ['q4', 'q8'] as const) {
  const model = tracedWren(await importWren(quantization));
  const rows = await bothRows(model);
  for (const { name, ...sampling } of samplings) {
    const seeds = sampling.temperature === 0 ? 1 : SEEDS;
    let [lost, gap] = [0, 0];
    for (let seed = 0; seed < seeds; seed++) {
      for (const [position, [mine, theirs]] of rows.entries()) {
        const { token } = sampleToken(mine, { ...sampling, seed }, position);
        if (sampleToken(theirs, { ...sampling, seed }, position).token === token) continue;
        lost += 1;
        gap = Math.max(gap, tokenGap(theirs, { ...sampling, seed }, position, token));
      }
    }
    lines.push([`wren-${quantization}`, name, String(seeds * rows.length), String(lost), gap.toPrecision(2)]);
  }
}
console.log(table(['model', 'temperature', 'draws', 'lost', 'largest gap, in logits'], lines));
process.exit(0);

/** The logits of each position on both devices. */
async function bothRows(model: ReturnType<typeof tracedWren>): Promise<(readonly [Candidates, Candidates])[]> {
  const [first, last] = evenRanges(model.manifest.config.layers, 2);
  const [engine, wasm] = [createEngineTracer(), createWasmTracer()];
  const tokens = histories.slice(0, HISTORIES).map((history) => {
    return { input: new Uint8Array(history.slice(0, POSITIONS).buffer), plan: chunkPlan(POSITIONS) };
  });
  const hidden = await engine.trace(model, first!, tokens);
  const mine = await engine.trace(
    model,
    last!,
    hidden.map((input) => ({ input, plan: primaryPlan(PROMPT, POSITIONS) })),
  );
  const theirs = await wasm.trace(
    model,
    last!,
    hidden.map((input) => ({ input, plan: chunkPlan(POSITIONS) })),
  );
  await engine.stop();
  await wasm.stop();
  const { vocabularySize } = model.manifest.config;
  const read = (row: Uint8Array<ArrayBuffer>) => readCandidates(row, vocabularySize, Math.min(TOP_K, vocabularySize));
  return mine.flatMap((bytes, i) => {
    const others = splitRows(theirs[i]!, POSITIONS);
    return splitRows(bytes, POSITIONS).map((row, position) => [read(row), read(others[position]!)] as const);
  });
}
