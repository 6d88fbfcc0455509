import { concatBytes } from '#shared/bytes.ts';
import type { SessionId } from '#shared/ids.ts';
import { CHUNK_POSITIONS, TOP_K } from '#shared/limits.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { logitsRowBytes, readCandidates } from '#shared/rows/logits-row.ts';
import type { Rows } from '#shared/rows/rows.ts';
import type { ServedStage } from '../../worker/served-stage.ts';
import type { ImportedWren } from './imported-wren.ts';
import { loadRuntimeStage } from './runtime-stage.ts';

/** A model cut into stages that hand their wire bytes straight on, without links, engine or threads. */
export interface StagedModel {
  greedy(prompt: readonly number[], count: number): Promise<number[]>;
  release(): Promise<void>;
}

/** Loads `ranges` of an imported model on WASM. */
export async function loadStagedModel(
  { manifest, blob }: ImportedWren,
  ranges: readonly StageRange[],
): Promise<StagedModel> {
  const stages: ServedStage[] = [];
  for (const range of ranges) {
    stages.push(await loadRuntimeStage({ manifest, blob }, range));
  }

  async function lap(session: SessionId, tokens: readonly number[], start: number): Promise<Rows> {
    const bytes = concatBytes(...tokens.map((token) => new Uint8Array(Uint32Array.of(token).buffer)));
    let rows: Rows = { kind: 'tokens', start, count: tokens.length, bytes };
    const logitsFrom = start + tokens.length - 1;
    for (const stage of stages) rows = (await stage.run({ session, input: rows, logitsFrom })).output;
    return rows;
  }

  return {
    async greedy(prompt, count) {
      const session = '00'.repeat(16) as SessionId;
      const candidates = Math.min(TOP_K, manifest.config.vocabularySize);
      const best = (rows: Rows): number => {
        const row = rows.bytes.slice(-logitsRowBytes(candidates));
        return readCandidates(row, manifest.config.vocabularySize, candidates).tokens[0] as number;
      };
      for (const stage of stages) await stage.open(session, prompt.length + count);
      let rows: Rows | null = null;
      for (let start = 0; start < prompt.length; start += CHUNK_POSITIONS) {
        rows = await lap(session, prompt.slice(start, start + CHUNK_POSITIONS), start);
      }
      if (rows === null) throw new RangeError('an empty prompt');
      const answer = [best(rows)];
      while (answer.length < count) {
        answer.push(best(await lap(session, answer.slice(-1), prompt.length + answer.length - 1)));
      }
      for (const stage of stages) await stage.close(session);
      return answer;
    },
    async release() {
      for (const stage of stages) await stage.release();
    },
  };
}
