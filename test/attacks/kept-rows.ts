import type { SessionId } from '#shared/ids.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import { splitRows } from '#shared/rows/row-chain.ts';

/** The output rows of a stage by session and position; no row where no logits were asked for. */
export type KeptRows = Map<SessionId, Uint8Array<ArrayBuffer>[]>;

/** `compute`, whose rows are kept in `kept`. */
export function keepingRows(compute: StageCompute, kept: KeptRows): StageCompute {
  return {
    ...compute,
    async run(request) {
      const result = await compute.run(request);
      const rows = kept.get(request.session) ?? [];
      kept.set(request.session, rows);
      const { input } = request;
      const { output } = result;
      for (let position = input.start; position < output.start; position++) rows[position] = new Uint8Array(0);
      splitRows(output.bytes, output.count).forEach((row, i) => (rows[output.start + i] = row));
      return result;
    },
  };
}
