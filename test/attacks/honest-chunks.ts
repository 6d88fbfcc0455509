import { outcomeOf } from '#shared/check/judge.ts';
import { thresholdFor } from '#shared/check/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import { compareSpan, greedy, honestPairs, spansOf, warm } from '../bench/calibrate/honest-pairs.ts';
import { CALIBRATED, type Recording } from '../bench/calibrate/record.ts';
import type { TracedSession } from '../bench/calibrate/trace-set.ts';

/** How many chunks of two honest devices the limits that are in force accept. */
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

/** Judges every honest pair, chunk by chunk, under seeds that no limit was made with. */
export function honestRows({ sessions }: Recording, seeds: number): HonestRow[] {
  const rows = new Map<string, HonestRow>();
  for (const session of sessions) {
    for (const pair of honestPairs(session)) {
      const positions = Math.min(pair[0].output.length, pair[1].output.length);
      for (const span of spansOf(positions, CHUNK_POSITIONS)) {
        for (let i = 0; i < (session.range.head ? 1 : seeds); i++) {
          const name = `unseen:${session.model.name}:${session.session}:${span.start}:${i}`;
          const found = compareSpan(session, pair, span, name, i % 2 === 0 ? greedy : warm);
          const [a = '', b = ''] = found.pair.split(' + ');
          const outcome = outcomeOf(found.closeness, thresholdFor(a, b, found.kind), found.rows);
          const key = `${found.pair}|${found.kind}`;
          const { pair: name_, kind } = found;
          const row = rows.get(key) ?? { pair: name_, kind, chunks: 0, unseen: 0, agreed: 0, suspect: 0, rejected: 0 };
          const unseen = row.unseen + (isUnseen(session, found.pair) ? 1 : 0);
          rows.set(key, { ...row, chunks: row.chunks + 1, unseen, [outcome]: row[outcome] + 1 });
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
