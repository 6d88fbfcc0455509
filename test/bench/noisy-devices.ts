import { parseArgs } from 'node:util';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { judge } from '#shared/judge/judge.ts';
import { pairKey, thresholdFor } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import { table } from './calibrate/tables.ts';
import { evenRanges, tracedWren } from './calibrate/trace-set.ts';
import { samplings } from './calibrate/token-draws.ts';
import { importWren } from '../support/imported-wren.ts';
import { wrenCorpus } from '../support/traces/corpus.ts';
import { createEngineTracer } from '../support/traces/engine-tracer.ts';
import { outputKind, replicaRows, spanSeed, testimonyOf, type ReplicaRows } from '../support/traces/span-comparison.ts';
import { chunkPlan, primaryPlan } from '../support/traces/tracer.ts';
import { createWasmTracer } from '../support/traces/wasm-tracer.ts';

/**
 * Honest devices that compute in half precision, of a class that nobody measured, beside the exact engine and beside the runtime's
 * WebAssembly: the default model in two stages, each hidden value that a device computes off by up to `--roundings` roundings of
 * f16 by chance (at the head, of the rows that it computes logits of). Judges `--spans` spans of 1 to 32 positions under the
 * limits of their pair, and prints how many were doubted (a referee clears both) and how many rejected (an accusation).
 */
const { values: options } = parseArgs({
  options: {
    spans: { type: 'string', default: '5000' },
    roundings: { type: 'string', default: '1' },
    histories: { type: 'string', default: '3' },
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

const moved = (rows: Uint8Array): Uint8Array<ArrayBuffer> => encodeF16(decodeF16(rows).map(off));

const wren = await importWren('q4');
const model = tracedWren(wren);
const { layers } = model.manifest.config;
const tracers = [createEngineTracer(), createWasmTracer()];
const inputs = (await wrenCorpus(wren, Number(options.histories), POSITIONS)).map(
  (history) => new Uint8Array(history.slice(0, POSITIONS).buffer),
);
const ranges = evenRanges(layers, 2);
const plans = [primaryPlan(PROMPT, POSITIONS), chunkPlan(POSITIONS)];
/** The same work on an exact device and on one that rounds otherwise. */
interface Traced {
  readonly honest: ReplicaRows;
  readonly device: ReplicaRows;
}

/** By stage, history, class and plan. */
const traced: Traced[][][] = [];
let stageInputs = inputs;
for (const range of ranges) {
  const rows: Traced[][] = stageInputs.map(() => []);
  let next: Uint8Array<ArrayBuffer>[] = [];
  for (const [at, tracer] of tracers.entries()) {
    for (const plan of plans) {
      const outputs = await tracer.trace(
        model,
        range,
        stageInputs.map((input) => ({ input, plan })),
      );
      if (at === 0) next = outputs;
      // The rows that a head computes logits of come from the layers before it, which round otherwise on such a device.
      const inputsOfHead = range.head ? stageInputs.map(moved) : null;
      const others =
        inputsOfHead &&
        (await tracer.trace(
          model,
          range,
          inputsOfHead.map((input) => ({ input, plan })),
        ));
      const numericClass = [ENGINE_CLASS, RUNTIME_CLASS][at]!;
      outputs.forEach((output, i) => {
        const input = splitRows(stageInputs[i]!, POSITIONS);
        const honest = replicaRows(numericClass, input, output, plan);
        const device = others ? splitRows(others[i]!, POSITIONS) : honest.output.map(moved);
        rows[i]!.push({ honest, device: { ...honest, numericClass: HALF_PRECISION, output: device } });
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
  const { honest } = replicas[Math.floor(chance() * replicas.length)]!;
  const { device } = replicas[Math.floor(chance() * replicas.length)]!;
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
const bound = accused === 0 ? ` (at most ${(300 / Number(options.spans)).toPrecision(2)} %, with 95 % confidence)` : '';
console.log(`${accused} of ${options.spans} honest spans accused${bound}; ${options.roundings} roundings of f16.`);
process.exit(0);
