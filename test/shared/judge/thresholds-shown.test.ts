import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import measured from '#shared/judge/thresholds.json' with { type: 'json' };
import { MIN_GAP, parseThresholds } from '#shared/judge/thresholds.ts';
import { limitCells } from '../../bench/calibrate/tables.ts';

const shown = readFileSync(new URL('../../../docs/verification.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
const { pairs } = parseThresholds(measured);

it.each(pairs.map((pair) => [`${pair.pair}, ${pair.kind}`, pair] as const))(
  'the limits in force for %s are those in docs/verification.md',
  (_, pair) => {
    expect(shown).toContainEqual(limitCells(pair));
    expect(pair.isRefused).toBe(pair.weakestAttack.median / pair.accept.median < MIN_GAP);
  },
);
