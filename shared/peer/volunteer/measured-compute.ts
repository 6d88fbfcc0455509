import type { StageCompute } from '../../rows/compute.ts';

/** How fast old runs are forgotten. */
const RUN_WEIGHT = 1 / 16;

export interface MeasuredCompute extends StageCompute {
  /** Milliseconds that a layer takes for one token, smoothed over the last runs; `firstLayerMs` before the first. */
  readonly layerMs: number;
}

/**
 * `compute`, timing its runs of one position, without their waiting. The speed that a probe measured while a device was busy
 * with loading would otherwise stay its speed for good.
 */
export function measuredCompute(compute: StageCompute, layers: number, firstLayerMs: number): MeasuredCompute {
  let layerMs = firstLayerMs;
  return {
    get layerMs() {
      return layerMs;
    },
    open: (session, capacity) => compute.open(session, capacity),
    async run(request) {
      const result = await compute.run(request);
      if (request.input.count === 1) {
        const { decodeUs, runUs, encodeUs } = result.timings;
        const tookMs = (decodeUs + runUs + encodeUs) / 1000 / Math.max(1, layers);
        layerMs += RUN_WEIGHT * (tookMs - layerMs);
      }
      return result;
    },
    cut: (session, position) => compute.cut(session, position),
    close: (session) => compute.close(session),
  };
}
