import { concatBytes } from '#shared/bytes.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { loadEngineStage } from '../engine-stage.ts';
import { traceSession, type Tracer } from './tracer.ts';

/** The engine in this thread. */
export function createEngineTracer(): Tracer {
  return {
    numericClass: ENGINE_CLASS,
    async trace(model, range, runs) {
      const stage = await loadEngineStage(model, range);
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
