import { channelScale } from '#shared/judge/channel-scale.ts';
import { judge } from '#shared/judge/judge.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { checkReveal } from '#shared/judge/reveal-form.ts';
import { rowValues } from '#shared/judge/sketch.ts';
import type { Testimony } from '#shared/judge/statement.ts';
import { pairKey, parseThresholds, thresholdFor } from '#shared/judge/thresholds.ts';
import { splitRows } from '#shared/rows/row-chain.ts';
import measured from '#shared/judge/thresholds.json' with { type: 'json' };
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { encodeF16 } from '#shared/model/f16.ts';
import { formatsOf } from '../bench/calibrate/pair-formats.ts';
import type { Recording } from '../bench/calibrate/record.ts';
import { samplings } from '../bench/calibrate/token-draws.ts';
import type { TracedSession } from '../bench/calibrate/trace-set.ts';
import { outputKind, spanSeed, testimonyOf, type ReplicaRows } from '../support/traces/span-comparison.ts';
import { primaryPlan, type Tracer } from '../support/traces/tracer.ts';
import { runComputedLiars, type LiarRows } from './computed-liars.ts';
import { decodeCandidateRow, encodeCandidateRow } from './logits-rows.ts';
import { embeddingRow } from './embedding-row.ts';
import { rowLiars, type RowLiar } from './row-liars.ts';
import { bestToken, type Escaped } from './text-tail.ts';

/** The fate of a lie in one whole chunk of one stage. */
export interface Trial {
  readonly liar: string;
  readonly pair: string;
  readonly kind: 'hidden' | 'logits';
  /** `form`: the reveal itself was no possible one, or no numbers. `outdrawn`: within limits, and the shadow draws another token. */
  readonly outcome: 'agreed' | 'outdrawn' | 'suspect' | 'rejected' | 'form';
  readonly median: number;
  /** Whether the likeliest token of some row is another with these logits; null for hidden rows. */
  readonly movesText: boolean | null;
  /** For hidden rows that passed: what it takes to see whether they move the text. */
  readonly escaped: Escaped | null;
}

type RowsOfSession = readonly Uint8Array<ArrayBuffer>[];

/** A session whose honest rows are at hand: those of every shadow that was traced over whole chunks. */
interface Stage {
  readonly session: TracedSession;
  readonly input: RowsOfSession;
  readonly shadows: readonly ReplicaRows[];
  /** The words of shadows on a span, which are the same whoever the liar is. */
  readonly said: Map<string, Testimony>;
}

/** The classes that liars make rows in: both of the processor. */
const LIAR_CLASSES = [RUNTIME_CLASS, ENGINE_CLASS];

/** All liars of which rows can be made beforehand, against every honest shadow, chunk by chunk under `seeds` seeds; only those whose name matches. */
export async function* traceAttacks(
  recording: Recording,
  tracers: readonly Tracer[],
  seeds: number,
  named: RegExp,
): AsyncGenerator<Trial> {
  const sessions = recording.sessions.filter(
    ({ model, range }) => model.name === 'wren-q4' && range.end - range.start === model.manifest.config.layers / 2,
  );
  const stages = new Map(sessions.map((session) => [session, stageOf(session)]));
  for (const [session, stage] of stages) {
    const other = [...stages.values()].find(
      (candidate) => candidate.session.range === session.range && candidate.session.session !== session.session,
    );
    for (const liar of rowLiars.filter(({ name }) => named.test(name)))
      for (const numericClass of LIAR_CLASSES) yield* rowTrials(stage, other ?? stage, liar, numericClass, seeds);
  }
  for (const range of new Set(sessions.map((session) => session.range))) {
    const own = sessions.filter((session) => session.range === range);
    for (const tracer of tracers)
      for await (const lie of runComputedLiars(own, tracer, named))
        yield* rowsTrials(lie, tracer.numericClass, stages.get(lie.session)!, seeds);
  }
  for (const { name, numericClass, of: session, rows, positions } of recording.substitutes) {
    const lie = {
      name: `${name} instead of ${session.model.name}`,
      session,
      from: 0,
      rows: splitRows(rows, positions),
    };
    if (named.test(lie.name)) yield* rowsTrials(lie, numericClass, stages.get(session) ?? stageOf(session), seeds);
  }
}

function stageOf(session: TracedSession): Stage {
  const positions = session.traces[0]!.plan.reduce((sum, count) => sum + count, 0);
  const input = splitRows(session.input, positions);
  const shadows = session.traces
    .filter(({ shape }) => shape === 'chunk')
    .map(({ numericClass, plan, rows }) => {
      const count = plan.reduce((sum, run) => sum + run, 0);
      return { numericClass, input: input.slice(0, count), output: splitRows(rows, count), plan };
    });
  return { session, input, shadows, said: new Map() };
}

/** The honest rows of a whole session in this class; those of the first class traced where it ran only some of them. */
function honestIn({ shadows, input }: Stage, numericClass: string): RowsOfSession {
  const own = shadows.find((shadow) => shadow.numericClass === numericClass && shadow.output.length === input.length);
  return (own ?? shadows[0]!).output;
}

/** Of the default model every other chunk against the processor's classes, of which there are enough. */
function isTried({ model, session }: TracedSession, shadowClass: string, start: number): boolean {
  const isPlenty = model.name === 'wren-q4' && LIAR_CLASSES.includes(shadowClass);
  return !isPlenty || (start / CHUNK_POSITIONS + session) % 2 === 0;
}

function* rowTrials(stage: Stage, other: Stage, liar: RowLiar, numericClass: string, seeds: number): Generator<Trial> {
  const { range, model } = stage.session;
  const [honest, others] = [stage, other].map((each) => honestIn(each, numericClass)) as [RowsOfSession, RowsOfSession];
  for (const shadow of stage.shadows) {
    for (let start = 0; start + CHUNK_POSITIONS <= shadow.output.length; start += CHUNK_POSITIONS) {
      if (!isTried(stage.session, shadow.numericClass, start)) continue;
      const end = start + CHUNK_POSITIONS;
      const random = generator(`${liar.name}:${model.name}:${start}`);
      const level = honestLevel(numericClass, shadow.numericClass, range.head ? 'logits' : 'hidden');
      const lie = range.head ? lieInLogits : lieInHidden;
      const rows = lie(stage.session, { honest, others, input: stage.input }, liar, [start, end], level, random);
      if (rows === null) return;
      yield* trials(stage, liar.name, numericClass, shadow, start, rows, seeds);
    }
  }
}

function* rowsTrials(lie: LiarRows, numericClass: string, stage: Stage, seeds: number): Generator<Trial> {
  for (const shadow of stage.shadows) {
    const end = Math.min(lie.from + lie.rows.length, shadow.output.length);
    for (let start = lie.from; start + CHUNK_POSITIONS <= end; start += CHUNK_POSITIONS) {
      if (!isTried(stage.session, shadow.numericClass, start)) continue;
      const rows = lie.rows.slice(start - lie.from, start - lie.from + CHUNK_POSITIONS);
      yield* trials(stage, lie.name, numericClass, shadow, start, rows, seeds);
    }
  }
}

function* trials(
  stage: Stage,
  liar: string,
  numericClass: string,
  shadow: ReplicaRows,
  start: number,
  rows: readonly Uint8Array<ArrayBuffer>[],
  seeds: number,
): Generator<Trial> {
  const { model, range } = stage.session;
  const { manifest } = model;
  const end = start + rows.length;
  const honest = honestIn(stage, numericClass);
  const output = [...honest.slice(0, start), ...rows];
  // A liar says that it ran single positions: two of the runtime's with other runs need not be equal bit for bit.
  const primary: ReplicaRows = { numericClass, input: stage.input, output, plan: primaryPlan(start, end) };
  const kind = range.head ? 'logits' : 'hidden';
  for (let i = 0; i < (range.head ? 1 : seeds); i++) {
    const span = { manifest, range, start, end, seed: spanSeed(`${stage.session.session}:${start}:${i}`) };
    const mine = testimonyOf(primary, span);
    const key = `${stage.shadows.indexOf(shadow)}:${start}:${i}`;
    const theirs = stage.said.get(key) ?? testimonyOf(shadow, span);
    stage.said.set(key, theirs);
    const form = checkReveal(mine.reveal.statement, range, manifest.config, range.head ? rows.length : null);
    const limits = thresholdFor(numericClass, shadow.numericClass, kind, manifest.config);
    const finding = judge(mine, theirs, outputKind(range, manifest, mine.reveal.statement, samplings.greedy), limits);
    const isOutdrawn = finding.outcome === 'agreed' && (finding.draws?.lost ?? 0) > 0;
    const outcome = form !== null ? 'form' : isOutdrawn ? 'outdrawn' : finding.outcome;
    yield {
      liar,
      pair: pairKey(numericClass, shadow.numericClass),
      kind,
      outcome,
      median: finding.closeness.median,
      movesText: kind === 'logits' ? rows.some((row, t) => bestToken(row) !== bestToken(honest[start + t]!)) : null,
      escaped: outcome === 'agreed' && kind === 'hidden' ? { session: stage.session, honest, start, rows } : null,
    };
  }
}

interface OfSession {
  readonly honest: RowsOfSession;
  /** Another session's. */
  readonly others: RowsOfSession;
  readonly input: RowsOfSession;
}

type LieInRows = (
  session: TracedSession,
  rows: OfSession,
  liar: RowLiar,
  span: readonly [start: number, end: number],
  honestLevel: number,
  random: () => number,
) => Uint8Array<ArrayBuffer>[] | null;

const lieInHidden: LieInRows = ({ model, range }, { honest, others, input }, liar, span, level, random) => {
  const { config, pins } = model.manifest;
  const values = (rows: RowsOfSession) => rows.slice(...span).map((row) => rowValues(row, pins.boundary));
  const rows = values(honest);
  const lies = liar.hidden({
    kind: 'hidden',
    hiddenSize: config.hiddenSize,
    rows,
    base: range.embedding ? rows.map((row) => new Float32Array(row.length)) : values(input),
    others: values(others),
    channelScale: channelScale(model.manifest),
    wanted: embeddingRow(model),
    honest: level,
    random,
  });
  return lies && lies.map((row) => encodeF16(row.slice()));
};

const lieInLogits: LieInRows = ({ model }, { honest, others }, liar, span, level, random) => {
  const { vocabularySize } = model.manifest.config;
  const candidates = (of: RowsOfSession) => of.slice(...span).map((row) => decodeCandidateRow(row, vocabularySize));
  const lists = { rows: candidates(honest), others: candidates(others) };
  const lies = liar.logits({ kind: 'logits', ...lists, vocabularySize, honest: level, random });
  return lies?.map(encodeCandidateRow) ?? null;
};

/**
 * The difference of the worst row in the worst of a hundred honest chunks between these classes; of two of the engine, which
 * do not differ, that between it and the runtime.
 */
export function honestLevel(liarClass: string, shadowClass: string, kind: 'hidden' | 'logits'): number {
  const own = pairKey(liarClass, shadowClass);
  const pair = formatsOf(own) === 'int16' ? pairKey(ENGINE_CLASS, RUNTIME_CLASS) : own;
  const found = parseThresholds(measured).pairs.find((candidate) => candidate.pair === pair && candidate.kind === kind);
  if (found === undefined) throw new Error(`nobody measured ${pair}`);
  return found.quantiles.p99.max;
}

/** Numbers in [0, 1), the same ones for the same name. */
export function generator(name: string): () => number {
  let state = new DataView(spanSeed(name).buffer).getUint32(0) | 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (((state >>> 8) ^ (state << 16)) >>> 0) / 2 ** 32;
  };
}
