import { limitsClass } from '#shared/judge/numeric-class.ts';
import { quantile } from '#shared/judge/statistics.ts';
import type { MeasuredPair } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { HonestSpan } from './honest-pairs.ts';
import { statistics, type AttackSpan, type Floor } from './limits.ts';
import { formatsOf } from './pair-formats.ts';

export interface Calibration {
  readonly spans: readonly HonestSpan[];
  readonly attacks: readonly AttackSpan[];
  readonly thresholds: readonly MeasuredPair[];
  readonly outcomes: Readonly<Record<string, number>>;
  readonly browsers: readonly { readonly numericClass: string; readonly chunks: number; readonly equal: number }[];
  readonly floors: { readonly hidden: Floor; readonly logits: Floor };
  readonly machine: string;
  readonly date: string;
  readonly command: string;
}

/** The measurements, as Markdown. */
export function calibrationTables(calibration: Calibration): string {
  const { spans, attacks, thresholds, outcomes, browsers, floors, machine, date, command } = calibration;
  const whole = spans.filter(({ rows }) => rows === CHUNK_POSITIONS);
  const total = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  return [
    `Measured by \`${command}\` on ${date} (${machine}).`,
    `**Limits.** For each pair and kind of output, accepted / rejected above:`,
    table(
      ['pair', 'of', 'chunks', 'median', 'p95 and max', 'bias', 'token gap', 'weakest substitution', 'gap'],
      thresholds.map(limitCells),
    ),
    `**Honest pairs,** whole chunks, p50 / p99 / largest. _Equal_: shares of rows that are equal bit for bit.`,
    table(
      ['pair', 'of', 'runs', 'chunks', 'equal', ...statistics],
      grouped(whole, ({ pair, kind, areShapesEqual }) => [pair, kind, areShapesEqual ? 'the same' : 'others']).map(
        ([key, group]) => [
          ...key,
          String(group.length),
          equalShare(group),
          ...statistics.map((name) => spread(group, name)),
        ],
      ),
    ),
    `Two of class \`int16\` were equal bit for bit in ${equalOfEngine(whole)}, whatever their runs were, so that no limit is theirs.`,
    `**Tokens** that the two draw from their logits of whole chunks, with the same seed: the share in which they differ, and how far at most the one is from drawing the other's. _Apart_: in logits. _Change of a logit_: the largest, between the two; ties of twice as much can go either way.`,
    table(
      [
        'pair',
        'tokens',
        'change of a logit',
        'likeliest',
        'logits apart',
        'temperature 1',
        'logits apart',
        '0.8, top-p 0.95',
        'logits apart',
      ],
      grouped(
        whole.filter(({ draws, pair, areShapesEqual }) => draws !== null && (!areShapesEqual || isMixed(pair))),
        ({ pair }) => [pair],
      ).map(([key, group]) => [...key, ...drawCells(group)]),
    ),
    `**By stage,** single rows, p50 / p99 / largest, all pairs whose runs or classes differ; _mixed_: the engine beside a class of floating point:`,
    table(
      ['model', 'layers', 'of', 'pairs', 'rows', 'difference'],
      grouped(
        whole.filter(({ areShapesEqual, pair }) => formatsOf(pair) !== 'int16' && (!areShapesEqual || isMixed(pair))),
        ({ model, stage, kind, pair }) => [model, stage, kind, formatsOf(pair)],
      ).map(([key, group]) => [...key, String(errorsOf(group).length), rowSpread(group)]),
    ),
    `**By position,** the default model, single hidden rows, the same pairs:`,
    table(
      ['positions', 'pairs', 'rows', 'difference'],
      grouped(
        whole.filter(
          ({ model, kind, pair, areShapesEqual }) =>
            model === 'wren-q4' &&
            kind === 'hidden' &&
            formatsOf(pair) !== 'int16' &&
            (!areShapesEqual || isMixed(pair)),
        ),
        ({ start, pair }) => [bucket(start), formatsOf(pair)],
      ).map(([key, group]) => [...key, String(errorsOf(group).length), rowSpread(group)]),
    ),
    `**Other weights,** whole chunks, median difference, smallest / median chunk. Mixed pairs are held to what is _cheaper_ than honest work, the others to all:`,
    table(
      ['weights', 'cheaper', 'of', 'pairs', 'chunks', 'difference'],
      grouped(
        attacks.filter(({ pair }) => formatsOf(pair) !== 'int16'),
        ({ name, isCheaper, because, kind, pair }) => [
          ...[name, `${isCheaper ? 'yes' : 'no'}: ${because}`],
          ...[kind, formatsOf(pair)],
        ],
      ).map(([key, group]) => {
        const medians = group.map(({ closeness }) => closeness.median);
        return [...key, String(group.length), `${short(quantile(medians, 0))} / ${short(quantile(medians, 0.5))}`];
      }),
    ),
    [
      ...browsers.map(
        ({ numericClass, equal, chunks }) =>
          `Class \`${limitsClass(numericClass)}\` in Node and in Chromium, the same runs: ${equal} of ${chunks} chunks equal bit for bit.`,
      ),
      `One f16 value rounded the other way moves a row by ${short(floors.hidden.row)} (usual value) to`,
      `${short(floors.hidden.worstRow)} (the heaviest value, p99.9 of rows).`,
      `Held against the limits, ${outcomes['agreed']} of ${total} honest spans of 1 to ${CHUNK_POSITIONS} positions agree,`,
      `${outcomes['suspect']} are suspect and ${outcomes['rejected']} rejected.`,
    ].join(' '),
  ].join('\n\n');
}

/** One pair's line in the table of limits. */
export function limitCells(pair: MeasuredPair): string[] {
  return [
    pair.pair,
    pair.kind,
    String(pair.chunks),
    `${short(pair.accept.median)} / ${short(pair.reject.median)}`,
    `${short(pair.accept.max)} / ${short(pair.reject.max)}`,
    `${short(pair.accept.bias)} / ${short(pair.reject.bias)}`,
    short(pair.tokenGap),
    `${short(pair.weakestAttack.median)}: ${pair.weakestAttack.name}`,
    `${Math.round(pair.gap)}${pair.isRefused ? ', refused' : ''}`,
  ];
}

/** Puts `text` between the marks `<!-- NAME -->` and `<!-- /NAME -->`. Throws where there are none. */
export function replaceBlock(document: string, name: string, text: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [document.indexOf(open), document.indexOf(close)];
  if (from === -1 || to < from) throw new Error(`there is no place marked ${name}`);
  return `${document.slice(0, from + open.length)}\n\n${text}\n\n${document.slice(to)}`;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(3, cell.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

export function short(value: number): string {
  if (value === 0) return '0';
  return value >= 0.01 && value < 1000 ? String(Number(value.toPrecision(2))) : value.toExponential(1);
}

function grouped<Item>(items: readonly Item[], keyOf: (item: Item) => string[]): [string[], Item[]][] {
  const groups = new Map<string, [string[], Item[]]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key.join()) ?? [key, []];
    group[1].push(item);
    groups.set(key.join(), group);
  }
  return [...groups.values()].sort(([a], [b]) => (a.join() < b.join() ? -1 : 1));
}

function isMixed(pair: string): boolean {
  const [a, b] = pair.split(' + ');
  return a !== b;
}

function equalOfEngine(spans: readonly HonestSpan[]): string {
  const own = spans.filter(({ pair }) => formatsOf(pair) === 'int16');
  return `${own.filter((span) => span.equalRows === span.rows).length} of ${own.length} chunks`;
}

function drawCells(spans: readonly HonestSpan[]): string[] {
  const tokens = spans.reduce((sum, { rows }) => sum + rows, 0);
  const cells = (['greedy', 'plain', 'warm'] as const).flatMap((name) => {
    const draws = spans.map((span) => span.draws!.drawn[name]);
    const others = draws.reduce((sum, draw) => sum + draw.others, 0);
    return [percent(others / tokens), short(Math.max(...draws.map(({ largestGap }) => largestGap)))];
  });
  const change = Math.max(...spans.map(({ draws }) => draws!.largestChange));
  return [String(tokens), short(change), ...cells];
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`;
}

function bucket(start: number): string {
  const size = 96;
  const from = Math.floor(start / size) * size;
  return `${String(from).padStart(3, '0')}–${String(from + size - 1).padStart(3, '0')}`;
}

function equalShare(spans: readonly HonestSpan[]): string {
  const equal = spans.reduce((sum, span) => sum + span.equalRows, 0);
  return percent(equal / spans.reduce((sum, { rows }) => sum + rows, 0));
}

function spread(spans: readonly HonestSpan[], name: (typeof statistics)[number]): string {
  const values = spans.map(({ closeness }) => closeness[name]);
  return [0.5, 0.99, 1].map((q) => short(quantile(values, q))).join(' / ');
}

function errorsOf(spans: readonly HonestSpan[]): number[] {
  return spans.flatMap(({ errors }) => errors);
}

function rowSpread(spans: readonly HonestSpan[]): string {
  const errors = errorsOf(spans);
  return [0.5, 0.99, 1].map((q) => short(quantile(errors, q))).join(' / ');
}
