import type { NodeProto } from 'onnx-buf';
import { whereItRuns } from './model-card.ts';
import type { Digest } from '#shared/ids.ts';
import type { Manifest, PartRounding } from '#shared/model/manifest.ts';
import { operatorName, operatorSupport, type OperatorSupport } from '#shared/model/operators.ts';

/** The facts that an operator should know before offering the model. */
export interface ImportReport {
  readonly name: string;
  readonly source: string;
  /** The folder's root digest. */
  readonly root: Digest;
  readonly parameters: number;
  readonly operators: readonly (OperatorSupport & { name: string; count: number })[];
  readonly parts: readonly { name: string; bytes: number; weights: number }[];
  /** What the import's rounding did to each tensor; empty where nothing was rounded. */
  readonly rounding: readonly PartRounding[];
  readonly pins: Manifest['pins'];
  /** Why the CPU engine does not run the model, so that onnxruntime does; null where it does. */
  readonly engine: string | null;
  readonly warnings: readonly string[];
}

export function countOperators(nodes: readonly NodeProto[]): ImportReport['operators'] {
  const found = new Map<string, OperatorSupport & { name: string; count: number }>();
  for (const node of nodes) {
    const name = operatorName(node);
    const before = found.get(name) ?? { name, count: 0, ...operatorSupport(node) };
    found.set(name, { ...before, count: before.count + 1 });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The report as text for a terminal. */
export function formatReport(report: ImportReport): string {
  const placement = { native: 'yes', cpu: 'on the CPU', none: 'no' };
  const operators = report.operators.map(({ name, count, wasm, webgpu }) => [
    name,
    `${count}`,
    placement[wasm],
    placement[webgpu],
  ]);
  const parts = report.parts.map(({ name, bytes, weights }) => [name, `${weights}`, formatBytes(bytes)]);
  const total = report.parts.reduce((sum, part) => sum + part.bytes, 0);
  const pins = Object.entries(report.pins).map(([name, value]) => [name, String(value)]);
  return [
    `${report.name}: ${report.parameters.toLocaleString('en')} parameters, from ${report.source}`,
    `root ${report.root}`,
    table(['operator', 'nodes', 'wasm', 'webgpu'], operators),
    table(['part', 'weights', 'bytes'], [...parts, ['together', '', formatBytes(total)]]),
    ...(report.rounding.length > 0 ? [formatRounding(report.rounding)] : []),
    table(['pin', ''], pins),
    whereItRuns(report.pins.onlyOn ?? null),
    report.engine === null
      ? 'on a CPU the engine runs it'
      : `on a CPU onnxruntime runs it, unfolded to 32 bits: ${report.engine}`,
    ...(report.warnings.length > 0 ? [report.warnings.map((warning) => `warning: ${warning}`).join('\n')] : []),
  ].join('\n\n');
}

function formatRounding(rounding: readonly PartRounding[]): string {
  const rows = rounding.map(({ part, tensors }) => [
    part,
    tensors.map(({ label, relativeError }) => `${label} ${(100 * relativeError).toFixed(2)} %`).join('  '),
  ]);
  return `rounding, as a share of each tensor's root mean square:\n${table(['part', 'tensors'], rows)}`;
}

/** Bytes for people. */
export function formatBytes(bytes: number): string {
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function table(head: readonly string[], rows: readonly string[][]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd();
  return [line(head), ...rows.map(line)].join('\n');
}
