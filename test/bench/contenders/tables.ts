import { figure, median, type Figure } from '../figures.ts';
import type { Column, Measured, Rival } from './take-turns.ts';

/**
 * A table in Markdown of the medians of all rounds, one of how many times as fast as each other the first rival is, and how quiet the
 * machine was.
 */
export function formatMeasured(model: string, measured: Measured): string {
  const [first, ...others] = [...measured.memory.keys()] as [Rival, ...Rival[]];
  const tables = [mediansTable(model, measured, first)];
  if (others.length > 0) tables.push(ratiosTable(measured.columns, first, others));
  const [usual, most] = [median(measured.others), Math.max(...measured.others)];
  const places = [...new Set([first, ...others].map(({ runsIn }) => runsIn))].join(', ');
  const quiet = `Cores that other programs kept busy: ${short(usual)} in the median turn, ${short(most)} at most.`;
  return [...tables, `${places}. ${quiet}`].join('\n\n');
}

export function measuredFigures(model: string, { columns, memory }: Measured): Figure[] {
  const name = (rival: Rival, what: string): string => `${model}: ${rival.name}: ${what}`;
  const speeds = columns.flatMap((column) =>
    [...column.values].map(([rival, values]) => figure(name(rival, column.name), column.unit, values)),
  );
  const bytes = [...memory].flatMap(([rival, { loaded, used }]) =>
    loaded === null || used === null
      ? []
      : [
          figure(name(rival, 'resident memory once loaded'), 'MB', [loaded.now]),
          figure(name(rival, 'resident memory after use'), 'MB', [used.now]),
          figure(name(rival, 'resident memory at most'), 'MB', [used.peak]),
        ],
  );
  return [...speeds, ...bytes];
}

function mediansTable(model: string, { columns, memory, firstTokens }: Measured, first: Rival): string {
  const steps = columns.filter(({ unit }) => unit === 'ms');
  const [near, far] = [steps[0], steps.at(-1)];
  const head = [
    ...[model, ...columns.map(({ name, unit }) => `${name}, ${unit}`), 'far against near'],
    ...['MB loaded', 'MB after use', 'MB at most', `first tokens as ${first.name}'s`],
  ];
  const expected = firstTokens.get(first)!;
  const rows = [...memory].map(([rival, { loaded, used }]) => {
    const of = (column: Column | undefined): number => median(column?.values.get(rival) ?? []);
    const tokens = firstTokens.get(rival)!;
    const same = tokens.filter((token, i) => token === expected[i]).length;
    return [
      ...[rival.name, ...columns.map((column) => short(of(column))), short(of(far) / of(near))],
      ...[loaded?.now, used?.now, used?.peak].map((megabytes) => megabytes?.toFixed(0) ?? '-'),
      `${same} of ${expected.length}`,
    ];
  });
  return markdown([head, ...rows]);
}

/** Of the two speeds in each round: the median, and the lowest and highest. */
function ratiosTable(columns: readonly Column[], first: Rival, others: readonly Rival[]): string {
  const rows = others.map((other) => {
    const cells = columns.map(({ unit, values }) => {
      const theirs = values.get(other)!;
      const ratios = values.get(first)!.map((own, i) => (unit === 'ms' ? theirs[i]! / own : own / theirs[i]!));
      return `${short(median(ratios))} (${short(Math.min(...ratios))} to ${short(Math.max(...ratios))})`;
    });
    return [other.name, ...cells];
  });
  return markdown([[`times as fast: ${first.name} against`, ...columns.map(({ name }) => name)], ...rows]);
}

function short(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

function markdown([head = [], ...rows]: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
