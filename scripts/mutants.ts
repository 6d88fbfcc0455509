import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { draw } from './mutants/draw.ts';
import { readImporters } from './mutants/importers.ts';
import { judge, type Bench } from './mutants/judge-mutant.ts';
import { locate, successor } from './mutants/locate.ts';
import type { MutantList, Result, Results } from './mutants/mutant.ts';
import { changedSources, commitOf, movesSince, readSources } from './mutants/sources.ts';
import { comparisonOf, tableOf } from './mutants/table.ts';
import { TestProcess } from './mutants/test-process.ts';

/*
 * Puts small faults into `shared` and `signal-server`, one at a time, and looks which of them the nearest tests notice.
 *
 *   npx tsx scripts/mutants.ts --list LIST.json --out RESULTS.json [--before OTHER.json] [--root FOLDER]
 *
 * The list is drawn, by `--count` and `--seed`, where there is none yet, and names its mutants by the code around them:
 * run with the same list at a later commit, it finds each of them again where its code has gone. A mutant is run against
 * the test files that import its file or, where none does, those fewest imports away; `--tests` at most, the narrowest
 * first. What takes longer than `--limit` seconds counts as killed. Results are kept after each mutant, and a run that
 * was stopped goes on where it was; `--again timeout` judges anew those with that result, such as after a run on a busy
 * machine. With `--before` the two results are compared. The files of the tree are written to meanwhile: run it where
 * nothing else is done, such as in a clone.
 */
const { values } = parseArgs({
  options: {
    list: { type: 'string' },
    out: { type: 'string' },
    before: { type: 'string' },
    root: { type: 'string', default: '.' },
    count: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    tests: { type: 'string', default: '8' },
    limit: { type: 'string', default: '180' },
    again: { type: 'string', multiple: true, default: [] },
  },
});
const { list: listPath, out: outPath } = values;
if (listPath === undefined || outPath === undefined) throw new Error('--list and --out are missing; both are files');
const root = resolve(values.root);
const changed = changedSources(root);
if (changed.length > 0) throw new Error(`the tree has changes, and must be as committed: ${changed.join(', ')}`);

const sources = readSources(root);
if (!existsSync(listPath)) {
  const seed = Number(values.seed);
  save(listPath, {
    commit: commitOf(root),
    seed,
    mutants: draw(sources, Number(values.count), seed),
  } satisfies MutantList);
}
const list = load<MutantList>(listPath);
const kept: Results = existsSync(outPath) ? load<Results>(outPath) : { commit: commitOf(root), results: {} };
if (kept.commit !== commitOf(root)) throw new Error(`${outPath} is of ${kept.commit}; results are of one commit`);

const tests = new TestProcess(root, Number(values.limit) * 1000);
const importers = readImporters(root, await tests.start());
const bench: Bench = { root, tests, importers, most: Number(values.tests), sound: new Map() };
const moves = movesSince(root, list.commit);
const places = locate(list.mutants, sources, moves);
const drawn = [...list.mutants, ...places.flatMap((found) => (found === null ? [] : [found.place.mutant]))];
for (const [i, mutant] of list.mutants.entries()) {
  const found = places[i] ?? null;
  // Drawn for each lost one, whether it was run before or not, so that all are the same in each run.
  const other = found === null ? successor(mutant, i, sources, moves, drawn) : null;
  if (other !== null) drawn.push(other.mutant);
  const known = kept.results[i];
  if (known !== undefined && !values.again.includes(known.status)) continue;
  const result = found === null ? await lost(other) : await judge(bench, found);
  kept.results[i] = result;
  save(outPath, kept);
  console.log(`${i} ${result.status} ${result.at ?? mutant.file} ${mutant.kind} ${result.seconds} s`);
}
tests.stop();
console.log(tableOf(list, kept));
if (values.before !== undefined) console.log(comparisonOf(list, load<Results>(values.before), kept));

async function lost(other: ReturnType<typeof successor>): Promise<Result> {
  const instead = other && { mutant: other.mutant, result: await judge(bench, { place: other, how: null }) };
  return { status: 'lost', at: null, found: null, tests: [], seconds: instead?.result.seconds ?? 0, instead };
}

function load<Value>(path: string): Value {
  return JSON.parse(readFileSync(path, 'utf8')) as Value;
}

function save(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 1)}\n`);
  renameSync(`${path}.new`, path);
}
