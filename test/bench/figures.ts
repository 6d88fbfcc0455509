import { writeFile } from 'node:fs/promises';
import { cpus, platform } from 'node:os';

/** One measured number, as `--json` writes it. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  /** Of how many runs it is the median. */
  readonly runs: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = NaN, high = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (low + high) / 2;
}

export function figure(name: string, unit: string, values: readonly number[]): Figure {
  return { name, unit, value: Number(median(values).toPrecision(4)), runs: values.length };
}

export function formatFigures(figures: readonly Figure[]): string {
  const width = Math.max(...figures.map(({ name }) => name.length));
  return figures
    .map(({ name, unit, value }) => `${name.padEnd(width)}  ${value.toString().padStart(9)} ${unit}`)
    .join('\n');
}

/** Writes the figures with what they were measured on. */
export async function writeFigures(path: string, command: string, figures: readonly Figure[]): Promise<void> {
  const [cpu] = cpus();
  const machine = { platform: platform(), cpu: cpu?.model ?? 'unknown', cores: cpus().length, node: process.version };
  const report = { command, measuredAt: new Date().toISOString(), machine, figures };
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`);
}
