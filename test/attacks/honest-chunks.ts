import { judge } from '#shared/judge/judge.ts';
import { pairKey, thresholdFor } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { honestPairs, spansOf } from '../bench/calibrate/honest-pairs.ts';
import { CALIBRATED, type Recording } from '../bench/calibrate/record.ts';
import { samplings } from '../bench/calibrate/token-draws.ts';
import type { TracedSession } from '../bench/calibrate/trace-set.ts';
import { outputKind, spanSeed, testimonyOf } from '../support/traces/span-comparison.ts';

/** How the judge finds chunks of two honest devices. */
export interface HonestRow {
  readonly pair: string;
  readonly kind: 'hidden' | 'logits';
  readonly chunks: number;
  /** Chunks of rows that the limits were not made from. */
  readonly unseen: number;
  readonly agreed: number;
  readonly suspect: number;
  readonly rejected: number;
}

/** Judges every honest pair, chunk by chunk, each chunk of hidden rows under `seeds` seeds that no limit was made with. */
export function honestRows({ sessions }: Recording, seeds: number): HonestRow[] {
  const rows = new Map<string, HonestRow>();
  for (const session of sessions) {
    const { range, model } = session;
    for (const [primary, shadow] of honestPairs(session)) {
      const pair = pairKey(primary.numericClass, shadow.numericClass);
      const kind = range.head ? 'logits' : 'hidden';
      const isNew = isUnseen(session, pair);
      for (const { start, end } of spansOf(Math.min(primary.output.length, shadow.output.length), CHUNK_POSITIONS)) {
        for (let i = 0; i < (range.head ? 1 : seeds); i++) {
          const seed = spanSeed(`unseen:${model.name}:${session.session}:${start}:${i}`);
          const span = { manifest: model.manifest, range, start, end, seed };
          const [mine, theirs] = [testimonyOf(primary, span), testimonyOf(shadow, span)];
          const limits = thresholdFor(primary.numericClass, shadow.numericClass, kind, model.manifest.config);
          const output = outputKind(range, model.manifest, mine.reveal.statement, samplings.greedy);
          const { outcome } = judge(mine, theirs, output, limits);
          const none = { pair, kind, chunks: 0, unseen: 0, agreed: 0, suspect: 0, rejected: 0 } as const;
          const row: HonestRow = rows.get(`${pair}|${kind}`) ?? none;
          rows.set(`${pair}|${kind}`, {
            ...row,
            chunks: row.chunks + 1,
            unseen: row.unseen + (isNew ? 1 : 0),
            [outcome]: row[outcome] + 1,
          });
        }
      }
    }
  }
  return [...rows.values()];
}

/** Whether these rows were computed for attacks alone. */
function isUnseen({ model, range, session }: TracedSession, pair: string): boolean {
  const isHalved = range.end - range.start === model.manifest.config.layers / 2;
  if (model.name === 'wren-q4' && isHalved) return pair.includes('webgpu') && session >= CALIBRATED.webGpu;
  return session >= CALIBRATED.short;
}
