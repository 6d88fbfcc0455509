import { concatBytes } from '#shared/bytes.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { ServedStage } from '../../../worker/served-stage.ts';
import { traceSession, type TracedModel, type Tracer } from './tracer.ts';

/** A numeric class whose stages `load` gives in this thread. */
export function createThreadTracer(
  numericClass: string,
  load: (model: TracedModel, range: StageRange) => Promise<ServedStage>,
): Tracer {
  return {
    numericClass,
    async trace(model, range, runs) {
      const stage = await load(model, range);
      try {
        const outputs: Uint8Array<ArrayBuffer>[] = [];
        for (const run of runs) outputs.push(concatBytes(...(await traceSession(stage, range, run))));
        return outputs;
      } finally {
        await stage.release();
      }
    },
    stop: () => Promise.resolve(),
  };
}
