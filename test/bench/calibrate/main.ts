import { readFile, writeFile } from 'node:fs/promises';
import { cpus, platform } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { outcomeOf } from '#shared/judge/judge.ts';
import { parseThresholds, thresholdFor, thresholdsSchema, type MeasuredPair } from '#shared/judge/thresholds.ts';
import measuredBefore from '#shared/judge/thresholds.json' with { type: 'json' };
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { flipFloor } from './flip-floor.ts';
import { compareSpan, honestPairs, spansOf, type HonestSpan } from './honest-pairs.ts';
import { LOGITS_FLOOR, measurePair, type AttackSpan } from './limits.ts';
import { formatsOf } from './pair-formats.ts';
import { findGpuClass, record } from './record.ts';
import { calibrationTables, replaceBlock } from './tables.ts';
import { substituteSpans } from './substitute-spans.ts';

/**
 * Measures how far honest devices differ, and writes what is accepted of each pair of numeric classes to
 * shared/judge/thresholds.json and the tables in docs/verification.md. The processor's two classes run in this thread. WebGPU is SwiftShader, or with `--gpu` this machine's
 * own; the limits of classes that are not here stay as they are. `--reuse` takes the rows that an earlier run computed;
 * `--dry` writes nothing; `--json FILE` has every span.
 */
const { values: options } = parseArgs({
  options: {
    gpu: { type: 'boolean', default: false },
    reuse: { type: 'boolean', default: false },
    dry: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const COMMAND = 'npm run calibrate';
/** Sketches of one span differ with the seed; each span is compared under so many. */
const SEEDS = 4;

const gpuClass = options.gpu ? await findGpuClass() : null;
const recording = await record({ isFresh: !options.reuse, gpuClass, onProgress: console.error });
const { sessions, substitutes, browsers } = recording;

const spans: HonestSpan[] = [];
for (const session of sessions) {
  const seeds = session.range.head ? 1 : SEEDS;
  for (const pair of honestPairs(session)) {
    const positions = Math.min(pair[0].output.length, pair[1].output.length);
    for (const span of spansOf(positions, CHUNK_POSITIONS)) {
      const name = `${session.model.name}:${session.session}:${span.start}`;
      for (let i = 0; i < seeds; i++) spans.push(compareSpan(session, pair, span, `${name}:${i}`));
      // The rest of an answer, of any length.
      const rows = 1 + ((span.start / CHUNK_POSITIONS + 7 * session.session) % (CHUNK_POSITIONS - 1));
      spans.push(compareSpan(session, pair, { start: span.start, end: span.start + rows }, `${name}:short`));
    }
  }
}
const attacks: AttackSpan[] = [...substitutes.flatMap((liar) => [...substituteSpans(liar)])];

const made = { date: new Date().toISOString().slice(0, 10), command: COMMAND };
const floors = { hidden: flipFloor(sessions), logits: LOGITS_FLOOR };
// Float weights that were made of the eight-bit ones are the same numbers.
const isOther = ({ name }: AttackSpan): boolean => name !== 'wren-q8 instead of wren-fp32';
const keys = [...new Set(spans.map(({ pair, kind }) => `${pair}\n${kind}`))].sort();
// Two of one engine have equal bits, so that no limit is theirs; two of different ones were not measured.
const limited = keys.filter((key) => formatsOf(key.split('\n')[0]!) !== 'int16');
const pairs: MeasuredPair[] = limited.map((key) => {
  const any = spans.filter(({ pair, kind }) => `${pair}\n${kind}` === key);
  const own = any.filter(({ areShapesEqual }) => !areShapesEqual);
  const [{ pair, kind }] = any as [HonestSpan];
  const all = pair.includes('webgpu') || formatsOf(pair) === 'mixed' || own.length === 0 ? any : own;
  return measurePair(all, attacks.filter(isOther), floors[kind], made);
});
const configs = sessions.map(({ model }) => model.manifest.config);
const largest = {
  hiddenSize: Math.max(...configs.map(({ hiddenSize }) => hiddenSize)),
  layers: Math.max(...configs.map(({ layers }) => layers)),
};
// Of classes that are not here.
const known = parseThresholds(measuredBefore).pairs.filter(({ pair, kind }) => !keys.includes(`${pair}\n${kind}`));
const thresholds = thresholdsSchema.parse({ format: 'chorus-thresholds/1', largest, pairs: [...known, ...pairs] });

const outcomes = { agreed: 0, suspect: 0, rejected: 0 };
for (const { pair, kind, closeness, rows } of spans) {
  const [a = '', b = ''] = pair.split(' + ');
  outcomes[outcomeOf(closeness, thresholdFor(a, b, kind, largest, thresholds), rows)]++;
}
const [cpu] = cpus();
const machine = `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${platform()}, Node ${process.version.slice(1)}`;
const tables = calibrationTables({
  spans,
  attacks,
  thresholds: thresholds.pairs,
  outcomes,
  browsers,
  floors,
  machine: `${machine}; WebGPU is ${gpuClass ?? 'SwiftShader'}`,
  ...made,
});
console.log(tables);
console.error(recording.webGpu.counts);
if (options.json !== undefined)
  await writeFile(options.json, JSON.stringify({ thresholds, outcomes, browsers, floors, spans, attacks }));
if (!options.dry) {
  const path = (file: string) => fileURLToPath(new URL(`../../../${file}`, import.meta.url));
  await writeFile(path('shared/judge/thresholds.json'), `${JSON.stringify(thresholds, null, 2)}\n`);
  const docs = await readFile(path('docs/verification.md'), 'utf8');
  await writeFile(path('docs/verification.md'), replaceBlock(docs, 'calibrate', tables));
}
