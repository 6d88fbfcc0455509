import { readFile, writeFile } from 'node:fs/promises';
import { cpus, platform } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { record } from '../bench/calibrate/record.ts';
import { replaceBlock, table } from '../bench/calibrate/tables.ts';
import { cachedTracer } from '../support/traces/trace-cache.ts';
import { createEngineTracer } from '../support/traces/engine-tracer.ts';
import { createWasmTracer } from '../support/traces/wasm-tracer.ts';
import { attackAnswers, type AnswerRow, type Truths } from './answers/answer-attacks.ts';
import { answerLiars } from './answers/answer-liars.ts';
import { answerTable, networkTable, traceRows, traceTable } from './attack-tables.ts';
import { honestRows } from './honest-chunks.ts';
import { inventorRow, inventors, leagues, type InventorRow, type League } from './inventors/class-inventors.ts';
import { attackNetworks } from './network-attacks.ts';
import { TextTail } from './text-tail.ts';
import { traceAttacks, type Trial } from './trace-attacks.ts';
import { wrenStandOfHistories } from './wren-stand.ts';

/**
 * Lets liars loose on the check and prints what became of them. Networks: the requester and replicas of this
 * project, the default model in the exact engine, one replica lies. Inventors: classes that nobody measured, at the last stage
 * of a toy model. Computed chunks: rows of liars and of honest devices of several classes, under the judge. Answers: a whole server
 * with anchors, its API asked while a liar volunteers, and comes back under a fresh key each time it is put out.
 * `--chunks N` lies of each liar in networks, within `--minutes N`; `--answers N` of each inventor, and for each liar of a whole
 * server; `--only` one of `networks`, `inventors`, `chunks`, `answers`; `--liars REGEX` only those so named, and no honest pairs;
 * `--write` puts the tables into docs/verification.md.
 */
const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    chunks: { type: 'string', default: '200' },
    minutes: { type: 'string', default: '20' },
    answers: { type: 'string', default: '500' },
    only: { type: 'string' },
    liars: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const named = new RegExp(options.liars);
const PROMPTS = 100;
const HONEST_SEEDS = 6;

const [cpu] = cpus();
const machine = `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${platform()}, Node ${process.version.slice(1)}`;
const made = `on ${new Date().toISOString().slice(0, 10)} (${machine}; WebGPU is SwiftShader)`;

async function networks() {
  const stand = await wrenStandOfHistories(PROMPTS);
  const untilMs = performance.now() + 60_000 * Number(options.minutes);
  const found = await attackNetworks(stand, Number(options.chunks), untilMs, named);
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

async function inventorTables() {
  const found: InventorRow[] = [];
  for (const league of Object.keys(leagues) as League[]) {
    for (const inventor of inventors.filter(({ name }) => named.test(name))) {
      for (const temperature of [0, 1]) {
        found.push(await inventorRow(inventor, league, temperature, { count: Number(options.answers) }));
        console.error(`${Math.round(process.uptime())} s: ${inventor.name}, ${league}, ${temperature}`);
      }
    }
  }
  const head = ['primary of a class that it made up', 'league', 'temperature', 'answers', 'of them with a lie'];
  const heads = [
    ...[...head, 'answers it moved before', 'wrong tokens shown as checked', 'right at the end'],
    ...['checked or settled', 'false accusations'],
  ];
  const rows = found.map((row) => [
    ...[row.name, row.league, String(row.temperature)],
    ...[row.answers, row.lied, row.moved, row.wrongShown, row.right, row.checked, row.falseAccusations].map(String),
  ]);
  return { found, text: [`Measured by \`npm run attacks\` ${made}.`, table(heads, rows)].join('\n\n') };
}

async function chunks() {
  const recording = await record({ isFresh: false, forAttacks: true, onProgress: console.error });
  const since = (what: string): void => console.error(`${Math.round(process.uptime())} s: ${what}`);
  since('honest pairs');
  const honest = options.liars === '' ? honestRows(recording, HONEST_SEEDS) : [];
  since('liars');
  const tracers = [createWasmTracer, createEngineTracer].map((create) => {
    const tracer = create();
    return cachedTracer(tracer.numericClass, () => Promise.resolve(tracer), false);
  });
  const trials: Trial[] = [];
  for await (const trial of traceAttacks(recording, tracers, 1, named)) trials.push(trial);
  since(`${trials.length} chunks of lies, those that passed to the end`);
  const tail = new TextTail();
  const liars = await traceRows(
    trials,
    async ({ movesText, escaped }) => movesText ?? (escaped !== null && (await tail.moves(escaped))),
  );
  await tail.release();
  const sum = (of: (row: (typeof honest)[number]) => number): number =>
    honest.reduce((total, row) => total + of(row), 0);
  const text = [
    `Measured by \`npm run attacks\` ${made}.`,
    `Liars, ${trials.length} whole chunks of 32 positions (${byPair(trials)}):`,
    traceTable(liars),
    `Honest pairs: ${sum((row) => row.chunks)} comparisons of whole chunks under seeds that no limit was made with ` +
      `(a chunk of hidden rows under ${HONEST_SEEDS}), ` +
      `${sum((row) => row.unseen)} of them of rows that no limit was made from; ` +
      `${sum((row) => row.rejected)} were rejected and ${sum((row) => row.suspect)} doubted:`,
    table(
      ['pair', 'of', 'chunks', 'of rows not seen before', 'agreed', 'doubted', 'rejected'],
      honest.map((row) => [
        ...[shortPair(row.pair), row.kind],
        ...[row.chunks, row.unseen, row.agreed, row.suspect, row.rejected].map(String),
      ]),
    ),
  ];
  return { found: { liars, honest }, text: text.join('\n\n') };
}

async function answers() {
  const found: AnswerRow[] = [];
  const truths: Truths = new Map();
  for (const liar of answerLiars.filter(({ name }) => named.test(name))) {
    const row = await attackAnswers(liar, Number(options.answers), truths);
    console.error(`${Math.round(process.uptime())} s: ${JSON.stringify(row)}`);
    found.push(row);
  }
  return { found, text: [`Measured by \`npm run attacks\` ${made}.`, answerTable(found)].join('\n\n') };
}

function byPair(trials: readonly Trial[]): string {
  const counts = new Map<string, number>();
  for (const { pair } of trials) counts.set(pair, (counts.get(pair) ?? 0) + 1);
  return [...counts].map(([pair, count]) => `${shortPair(pair)}: ${count}`).join(', ');
}

function shortPair(pair: string): string {
  return pair.replaceAll('webgpu/google/swiftshader', 'webgpu');
}

const parts = { networks, inventors: inventorTables, chunks, answers };
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
