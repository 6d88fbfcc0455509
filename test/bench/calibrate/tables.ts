import { quantile } from '#shared/judge/statistics.ts';
import type { MeasuredPair } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { HonestSpan } from './honest-pairs.ts';
import { statistics, type AttackSpan, type Floor } from './limits.ts';

export interface Calibration {
  readonly spans: readonly HonestSpan[];
  readonly attacks: readonly AttackSpan[];
  readonly thresholds: readonly MeasuredPair[];
  readonly outcomes: Readonly<Record<string, number>>;
  readonly engines: { readonly chunks: number; readonly equal: number };
  readonly floors: { readonly hidden: Floor; readonly logits: Floor };
  readonly machine: string;
  readonly date: string;
  readonly command: string;
}

/** The measurements, as Markdown. */
export function calibrationTables(calibration: Calibration): string {
  const { spans, attacks, thresholds, outcomes, engines, floors, machine, date, command } = calibration;
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
    `**By stage,** single rows, p50 / p99 / largest, all pairs whose runs or classes differ:`,
    table(
      ['model', 'layers', 'of', 'rows', 'difference'],
      grouped(
        whole.filter(({ areShapesEqual, pair }) => !areShapesEqual || isMixed(pair)),
        ({ model, stage, kind }) => [model, stage, kind],
      ).map(([key, group]) => [...key, String(errorsOf(group).length), rowSpread(group)]),
    ),
    `**By position,** the default model, single hidden rows, the same pairs:`,
    table(
      ['positions', 'rows', 'difference'],
      grouped(
        whole.filter(
          (span) => span.model === 'wren-q4' && span.kind === 'hidden' && (!span.areShapesEqual || isMixed(span.pair)),
        ),
        ({ start }) => [bucket(start)],
      ).map(([key, group]) => [...key, String(errorsOf(group).length), rowSpread(group)]),
    ),
    `**Other weights,** whole chunks, median difference, smallest / median chunk:`,
    table(
      ['weights', 'of', 'chunks', 'difference'],
      grouped(attacks, ({ name, kind }) => [name, kind]).map(([key, group]) => {
        const medians = group.map(({ closeness }) => closeness.median);
        return [...key, String(group.length), `${short(quantile(medians, 0))} / ${short(quantile(medians, 0.5))}`];
      }),
    ),
    [
      `WASM in Node and in Chromium, the same runs: ${engines.equal} of ${engines.chunks} chunks equal bit for bit.`,
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

function bucket(start: number): string {
  const size = 96;
  const from = Math.floor(start / size) * size;
  return `${String(from).padStart(3, '0')}–${String(from + size - 1).padStart(3, '0')}`;
}

function equalShare(spans: readonly HonestSpan[]): string {
  const equal = spans.reduce((sum, span) => sum + span.equalRows, 0);
  return `${Number(((100 * equal) / spans.reduce((sum, { rows }) => sum + rows, 0)).toPrecision(3))} %`;
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
