import { parseArgs } from 'node:util';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { judge } from '#shared/judge/judge.ts';
import { pairKey, thresholdFor } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import { table } from '../bench/calibrate/tables.ts';
import { evenRanges, tracedWren } from '../bench/calibrate/trace-set.ts';
import { samplings } from '../bench/calibrate/token-draws.ts';
import { importWren } from '../support/imported-wren.ts';
import { wrenCorpus } from '../support/traces/corpus.ts';
import { createEngineTracer } from '../support/traces/engine-tracer.ts';
import { outputKind, replicaRows, spanSeed, testimonyOf, type ReplicaRows } from '../support/traces/span-comparison.ts';
import { chunkPlan, primaryPlan } from '../support/traces/tracer.ts';
import { createWasmTracer } from '../support/traces/wasm-tracer.ts';
import { decodeCandidateRow, encodeCandidateRow } from './logits-rows.ts';

/**
 * Honest devices that compute in half precision, of a class that nobody measured, beside the exact engine and beside the runtime's
 * WebAssembly: the default model in two stages, each value of a device's rows off by up to `--roundings` roundings of f16 by
 * chance. Judges `--spans` spans of 1 to 32 positions under the limits of their pair, and prints how many were doubted (a referee
 * clears both) and how many rejected (an accusation).
 */
const { values: options } = parseArgs({
  options: {
    spans: { type: 'string', default: '5000' },
    roundings: { type: 'string', default: '1' },
    histories: { type: 'string', default: '6' },
  },
});
const HALF_PRECISION = 'webgpu/noisy/f16';
const POSITIONS = 160;
const PROMPT = 64;
/** Of one value of usual size. */
const ROUNDING = 2 ** -11;

let state = 12;
/** In [0, 1), the same in every run. */
function chance(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}
const off = (value: number): number => value * (1 + Number(options.roundings) * ROUNDING * (2 * chance() - 1));

/** The same rows on a device that rounds otherwise. */
function noisy(rows: ReplicaRows, isHead: boolean, { start, end }: { start: number; end: number }): ReplicaRows {
  const output = rows.output.map((row, at) => {
    if (at < start || at >= end) return row;
    if (!isHead) return encodeF16(decodeF16(row).map(off));
    const { tokens, logits, logSumExp } = decodeCandidateRow(row, vocabularySize);
    const moved = [...logits].map((logit, i) => ({ token: tokens[i]!, logit: Math.fround(off(logit)) }));
    moved.sort((a, b) => b.logit - a.logit || a.token - b.token);
    return encodeCandidateRow({
      logSumExp: Math.fround(off(logSumExp)),
      tokens: moved.map(({ token }) => token),
      logits: Float32Array.from(moved, ({ logit }) => logit),
    });
  });
  return { ...rows, numericClass: HALF_PRECISION, output };
}

const wren = await importWren('q4');
const model = tracedWren(wren);
const { vocabularySize, layers } = model.manifest.config;
const tracers = [createEngineTracer(), createWasmTracer()];
const inputs = (await wrenCorpus(wren, Number(options.histories), POSITIONS)).map(
  (history) => new Uint8Array(history.slice(0, POSITIONS).buffer),
);
const ranges = evenRanges(layers, 2);
const plans = [primaryPlan(PROMPT, POSITIONS), chunkPlan(POSITIONS)];
/** By stage, history, class and plan. */
const traced: ReplicaRows[][][] = [];
let stageInputs = inputs;
for (const range of ranges) {
  const rows: ReplicaRows[][] = stageInputs.map(() => []);
  let next: Uint8Array<ArrayBuffer>[] = [];
  for (const [at, tracer] of tracers.entries()) {
    for (const plan of plans) {
      const outputs = await tracer.trace(
        model,
        range,
        stageInputs.map((input) => ({ input, plan })),
      );
      if (at === 0) next = outputs;
      const numericClass = [ENGINE_CLASS, RUNTIME_CLASS][at]!;
      outputs.forEach((output, i) => {
        const input = splitRows(stageInputs[i]!, POSITIONS);
        rows[i]!.push(replicaRows(numericClass, input, output, plan));
      });
    }
  }
  traced.push(rows);
  stageInputs = next;
}
for (const tracer of tracers) await tracer.stop();

const found = new Map<string, { agreed: number; suspect: number; rejected: number }>();
for (let i = 0; i < Number(options.spans); i++) {
  const stage = i % ranges.length;
  const range = ranges[stage]!;
  const replicas = traced[stage]![Math.floor(chance() * inputs.length)]!;
  const start = Math.floor(chance() * (POSITIONS - CHUNK_POSITIONS));
  const end = start + 1 + Math.floor(chance() * CHUNK_POSITIONS);
  const honest = replicas[Math.floor(chance() * replicas.length)]!;
  const device = noisy(replicas[Math.floor(chance() * replicas.length)]!, range.head, { start, end });
  const [primary, shadow] = chance() < 0.5 ? [honest, device] : [device, honest];
  const kind = range.head ? 'logits' : 'hidden';
  const span = { manifest: model.manifest, range, start, end, seed: spanSeed(`noisy ${i}`) };
  const [mine, theirs] = [testimonyOf(primary, span), testimonyOf(shadow, span)];
  const limits = thresholdFor(primary.numericClass, shadow.numericClass, kind, model.manifest.config);
  const { outcome } = judge(
    mine,
    theirs,
    outputKind(range, model.manifest, mine.reveal.statement, samplings.greedy),
    limits,
  );
  const key = `${pairKey(honest.numericClass, HALF_PRECISION)}|${kind}`;
  const counts = found.get(key) ?? { agreed: 0, suspect: 0, rejected: 0 };
  found.set(key, { ...counts, [outcome]: counts[outcome] + 1 });
}
const rows = [...found].sort().map(([key, { agreed, suspect, rejected }]) => {
  return [...key.split('|'), ...[agreed + suspect + rejected, agreed, suspect, rejected].map(String)];
});
console.log(table(['pair', 'of', 'spans', 'agreed', 'doubted', 'rejected'], rows));
const accused = [...found.values()].reduce((sum, { rejected }) => sum + rejected, 0);
const bound =
  accused === 0 ? ` (at most ${((300 / Number(options.spans)) as number).toPrecision(2)} %, with 95 % confidence)` : '';
console.log(`${accused} of ${options.spans} honest spans accused${bound}; ${options.roundings} roundings of f16.`);
process.exit(0);
