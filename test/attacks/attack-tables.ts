import { quantile } from '#shared/judge/statistics.ts';
import { formatsOf, type PairFormats } from '../bench/calibrate/pair-formats.ts';
import { short, table } from '../bench/calibrate/tables.ts';
import type { AnswerRow } from './answers/answer-attacks.ts';
import type { NetworkTrial } from './network-trials.ts';
import type { Trial } from './trace-attacks.ts';

/** The fate of one liar in networks of engines. */
export interface NetworkRow {
  readonly liar: string;
  readonly stages: string;
  /** Answers in which it lied, and the chunks of them in which it did until it was caught. */
  readonly answers: number;
  readonly chunks: number;
  readonly caught: number;
  /** Chunks of lies up to the one it was caught in: mean and most. */
  readonly until: { readonly mean: number; readonly most: number };
  readonly proven: number;
  readonly falseAccusations: number;
  readonly wrongShown: number;
  /** Answers in which a token that was shown pale was not the honest one; and that ended with another text. */
  readonly moved: number;
  readonly wrongEnd: number;
  /** Answers that failed as a whole. */
  readonly failed: number;
  readonly codes: readonly string[];
  /** Spans of stages in answers of the same run in which it did not lie. */
  readonly honestSpans: number;
}

export function networkRow(liar: string, trials: readonly NetworkTrial[]): NetworkRow {
  const lied = trials.filter(({ liedChunks }) => liedChunks > 0);
  const caught = lied.filter(({ isCaught }) => isCaught);
  const until = caught.map(({ liedChunks }) => liedChunks);
  const sum = (of: (trial: NetworkTrial) => number): number => trials.reduce((total, trial) => total + of(trial), 0);
  return {
    liar,
    stages: [...new Set(trials.map(({ stage }) => stage + 1))].join(', '),
    answers: lied.length,
    chunks: sum(({ liedChunks }) => liedChunks),
    caught: caught.length,
    until: { mean: until.reduce((total, count) => total + count, 0) / until.length, most: Math.max(0, ...until) },
    proven: lied.filter(({ proven }) => proven > 0).length,
    falseAccusations: sum(({ falseAccusations, falseProofs }) => falseAccusations + falseProofs),
    wrongShown: sum(({ wrongShown }) => wrongShown),
    moved: lied.filter(({ hasMoved }) => hasMoved).length,
    wrongEnd: lied.filter(({ isTextRight, failure }) => !isTextRight && failure === null).length,
    failed: lied.filter(({ failure }) => failure !== null).length,
    codes: [...new Set(lied.flatMap(({ codes }) => codes))],
    honestSpans: trials.filter(({ liedChunks }) => liedChunks === 0).reduce((total, { spans }) => total + spans, 0),
  };
}

export function networkTable(rows: readonly NetworkRow[]): string {
  return table(
    [
      ...['liar', 'stages', 'answers', 'chunks with lies', 'caught', 'chunks until caught', 'proven to the server'],
      ...[
        'false accusations',
        'wrong tokens shown as checked',
        'answers it moved before',
        'wrong in the end',
        'failed',
        'as',
      ],
    ],
    rows.map((row) => [
      row.liar,
      row.stages,
      String(row.answers),
      String(row.chunks),
      share(row.caught, row.answers),
      row.caught === 0 ? '–' : `${short(row.until.mean)}, at most ${row.until.most}`,
      share(row.proven, row.answers),
      ...[row.falseAccusations, row.wrongShown, row.moved, row.wrongEnd, row.failed].map(String),
      row.codes.join(', '),
    ]),
  );
}

/** The fate of one liar in chunks that were computed beforehand. */
export interface TraceRow {
  readonly liar: string;
  readonly kind: Trial['kind'];
  readonly formats: PairFormats;
  readonly chunks: number;
  /** Chunks by pair of classes, and the median over them of the median difference. */
  readonly pairs: readonly { readonly pair: string; readonly chunks: number; readonly median: number }[];
  readonly rejected: number;
  readonly suspect: number;
  readonly outdrawn: number;
  readonly agreed: number;
  /** Of those that agreed: how many moved the greedy text. */
  readonly moved: number;
}

/** Groups trials by liar, kind and the formats of the pair; `moves` says of a chunk that passed whether it moves the text. */
export async function traceRows(
  trials: readonly Trial[],
  moves: (trial: Trial) => Promise<boolean>,
): Promise<TraceRow[]> {
  const groups = new Map<string, Trial[]>();
  for (const trial of trials) {
    const key = `${trial.liar}|${trial.kind}|${formatsOf(trial.pair)}`;
    groups.set(key, [...(groups.get(key) ?? []), trial]);
  }
  const rows: TraceRow[] = [];
  for (const group of groups.values()) {
    const [{ liar, kind, pair }] = group as [Trial];
    const pairs = [...new Set(group.map((trial) => trial.pair))].map((own) => {
      const medians = group.filter((trial) => trial.pair === own).map(({ median }) => median);
      return { pair: own, chunks: medians.length, median: quantile(medians, 0.5) };
    });
    const passed = group.filter(({ outcome }) => outcome === 'agreed');
    let moved = 0;
    for (const trial of passed) if (await moves(trial)) moved++;
    rows.push({
      ...{ liar, kind, pairs, moved, formats: formatsOf(pair) },
      chunks: group.length,
      rejected: group.filter(({ outcome }) => outcome === 'rejected' || outcome === 'form').length,
      suspect: group.filter(({ outcome }) => outcome === 'suspect').length,
      outdrawn: group.filter(({ outcome }) => outcome === 'outdrawn').length,
      agreed: passed.length,
    });
  }
  return rows;
}

export function traceTable(rows: readonly TraceRow[]): string {
  return table(
    [
      'liar',
      'of',
      'pairs',
      'chunks',
      'rejected',
      'doubted',
      'outdrawn',
      'passed',
      'of these moved the text',
      'difference',
    ],
    rows.map((row) => [
      row.liar,
      ...[row.kind, row.formats, String(row.chunks)],
      ...[row.rejected, row.suspect, row.outdrawn, row.agreed].map((count) => share(count, row.chunks)),
      row.agreed === 0 ? '–' : String(row.moved),
      differences(row),
    ]),
  );
}

/** From the least to the greatest of all pairs. */
function differences({ pairs }: TraceRow): string {
  const medians = pairs.map(({ median }) => median).sort((a, b) => a - b);
  const shown = [medians[0]!, medians.at(-1)!].map((median) => (median >= 1e6 ? 'beyond measure' : short(median)));
  return [...new Set(shown)].join(' – ');
}

function share(part: number, whole: number): string {
  return whole === 0 ? '–' : `${Number(((100 * part) / whole).toPrecision(3))} %`;
}

export function answerTable(rows: readonly AnswerRow[]): string {
  const percent = (part: number, of: number): string => `${short((100 * part) / of)} %`;
  return table(
    [
      ...[
        'liar',
        'answers',
        'it took part',
        'its rows went on',
        'wrong, shown as checked or settled',
        'wrong, shown as less',
      ],
      ...[
        'right, and checked or settled',
        'failed',
        'keys',
        'median, times without it',
        'longest, s more than without it',
      ],
    ],
    rows.map((row) => [
      ...[row.liar, String(row.answers), String(row.met), String(row.led)],
      `${row.wrongShown} (${upTo(row.wrongShown, row.answers)})`,
      ...[String(row.wrongBelow), percent(row.good, row.answers), String(row.failed), String(row.keys)],
      short(row.medianMs / row.honestMedianMs),
      short((row.worstMs - row.honestWorstMs) / 1000),
    ]),
  );
}

/** The 95 % bound of a share of which none was seen, or how many were. */
function upTo(seen: number, of: number): string {
  return seen === 0 ? `at most ${short(100 * (1 - 0.05 ** (1 / of)))} %` : `${short((100 * seen) / of)} %`;
}
