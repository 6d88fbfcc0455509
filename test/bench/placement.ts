/**
 * How long models of real sizes take to answer, and to be checked, as default volunteers of three sizes come one by one:
 * `npx tsx test/bench/placement.ts [--every SECONDS] [--json FILE]`. Placement is the server's own, time is simulated.
 */
import { parseArgs } from 'node:util';
import type { Digest } from '#shared/ids.ts';
import { planModel } from '../../signal-server/placement/planned-model.ts';
import { simulatePlacement, type DeviceKind } from '../support/placement-simulation.ts';
import { shapeManifest } from '../support/shape-manifest.ts';
import { figure, writeFigures, type Figure } from './figures.ts';

const { values } = parseArgs({ options: { every: { type: 'string', default: '5' }, json: { type: 'string' } } });
const COUNTS = [2, 4, 8, 16, 40];
const MIXES: readonly (readonly [string, readonly DeviceKind[]])[] = [
  ['tabs of 512 MB', ['tab']],
  ['256 MB, 512 MB, 1 GiB', ['small', 'tab', 'node']],
  ['1 GiB', ['node']],
];
const SHAPES = [
  ['wren', 'q8'],
  ['smollm2', 'f32'],
  ['qwen3', 'f32'],
  ['qwen3', 'q8'],
  ['llama1b', 'f32'],
  ['llama1b', 'q8'],
] as const;

async function main(): Promise<void> {
  const figures: Figure[] = [];
  for (const [name, table] of SHAPES) {
    const model = planModel('a'.repeat(64) as Digest, shapeManifest(name, table), 1, true);
    for (const [mix, kinds] of MIXES) {
      for (const count of COUNTS) {
        const devices = Array.from({ length: count }, (_, i) => kinds[i % kinds.length]!);
        const { servableS, checkedS, moves, idle, opened } = await simulatePlacement({
          ...{ model, devices, everyS: Number(values.every) },
        });
        const text = (seconds: number | null): string => (seconds === null ? 'never' : `${seconds} s`).padStart(6);
        const line = `${name} (${table} table), ${count} of ${mix}`.padEnd(56);
        process.stdout.write(
          `${line} answers ${text(servableS)}, checked ${text(checkedS)}; ${moves} moves, ${opened} gaps opened, ${idle} idle\n`,
        );
        for (const [what, value] of Object.entries({ servableS, checkedS, moves, opened, idle }))
          figures.push(figure(`${name} ${table} ${count} ${mix} ${what}`, '', [value ?? NaN]));
      }
    }
  }
  if (values.json !== undefined) await writeFigures(values.json, process.argv.slice(2).join(' '), figures);
}

await main();
