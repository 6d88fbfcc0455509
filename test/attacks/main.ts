import { readFile, writeFile } from 'node:fs/promises';
import { cpus, platform } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { record } from '../bench/calibrate/record.ts';
import { replaceBlock, table } from '../bench/calibrate/tables.ts';
import { tracedWren } from '../bench/calibrate/trace-set.ts';
import { importWren } from '../support/imported-wren.ts';
import { cachedTracer } from '../support/traces/trace-cache.ts';
import { createWasmTracer } from '../support/traces/wasm-tracer.ts';
import { networkTable, traceRows, traceTable } from './attack-tables.ts';
import { honestRows } from './honest-chunks.ts';
import { attackNetworks } from './network-attacks.ts';
import { wrenStandOfHistories } from './wren-stand.ts';
import { createTail, movesGreedyText, traceAttacks, type Trial } from './trace-attacks.ts';

/**
 * Lets liars loose on the check and prints what became of them. Networks: engines of requester and replicas, the default
 * model on WASM, one replica lies. Computed chunks: rows of liars and of honest devices of several classes, under the judge.
 * `--chunks N` lies of each liar in networks, within `--minutes N`; `--only networks` or `--only chunks`; `--write` puts the
 * tables into docs/verification.md.
 */
const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    chunks: { type: 'string', default: '200' },
    minutes: { type: 'string', default: '20' },
    only: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});
const PROMPTS = 24;
const HONEST_SEEDS = 6;
/** Of the chunks of hidden rows that passed in one line of the table, so many are run to the end. */
const LOOK_AT = 12;

const q4 = await importWren('q4');
const model = tracedWren(q4);
const [cpu] = cpus();
const machine = `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${platform()}, Node ${process.version.slice(1)}`;
const made = `on ${new Date().toISOString().slice(0, 10)} (${machine}; WebGPU is SwiftShader)`;

async function networks() {
  const stand = await wrenStandOfHistories(PROMPTS);
  const untilMs = performance.now() + 60_000 * Number(options.minutes);
  const found = await attackNetworks(stand, Number(options.chunks), untilMs);
  const text = [
    `Measured by \`npm run attacks\` ${made}.`,
    'One replica of one of two stages lies, as primary unless its name says shadow:',
    networkTable(found.rows),
    'Two replicas of one stage in league, both with the neighbouring layer’s weights:',
    networkTable(found.colluders),
    'A requester’s false reports, made of all that it heard in a session with a real liar:',
    table(
      ['report', 'sent', 'believed'],
      found.reports.map(({ name, tried, believed }) => [name, String(tried), String(believed)]),
    ),
  ];
  return { found, text: text.join('\n\n') };
}

async function chunks() {
  const recording = await record({ isFresh: false, forAttacks: true, onProgress: console.error });
  const honest = honestRows(recording, HONEST_SEEDS);
  const wasm = cachedTracer('wasm', () => Promise.resolve(createWasmTracer()), false);
  const trials: Trial[] = [];
  for await (const trial of traceAttacks(recording, wasm, 1)) trials.push(trial);
  const tail = createTail(model, wasm);
  const moves = async ({ movesText, escaped }: Trial): Promise<boolean> =>
    movesText ?? (escaped !== null && (await movesGreedyText(escaped, tail)));
  const liars = await traceRows(trials, moves, LOOK_AT);
  const sum = (of: (row: (typeof honest)[number]) => number): number =>
    honest.reduce((total, row) => total + of(row), 0);
  const text = [
    `Measured by \`npm run attacks\` ${made}.`,
    'Liars, whole chunks of 32 positions:',
    traceTable(liars),
    `Honest pairs: ${sum((row) => row.chunks)} whole chunks under seeds that no limit was made with, ` +
      `${sum((row) => row.unseen)} of them of rows that no limit was made from; ` +
      `${sum((row) => row.rejected)} were rejected and ${sum((row) => row.suspect)} doubted:`,
    table(
      ['pair', 'of', 'chunks', 'of rows not seen before', 'agreed', 'doubted', 'rejected'],
      honest.map((row) => [
        ...[row.pair.replaceAll('webgpu/google/swiftshader', 'webgpu'), row.kind],
        ...[row.chunks, row.unseen, row.agreed, row.suspect, row.rejected].map(String),
      ]),
    ),
  ];
  return { found: { liars, honest }, text: text.join('\n\n') };
}

const parts = { networks, chunks };
const path = fileURLToPath(new URL('../../docs/verification.md', import.meta.url));
const report: Record<string, unknown> = { command: 'npm run attacks', measuredAt: new Date().toISOString(), machine };
for (const [name, run] of Object.entries(parts)) {
  if (options.only !== undefined && options.only !== name) continue;
  const { found, text } = await run();
  console.log(text);
  report[name] = found;
  if (options.write) await writeFile(path, replaceBlock(await readFile(path, 'utf8'), `attacks: ${name}`, text));
}
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
