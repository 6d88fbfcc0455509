import { channelScale } from '#shared/judge/channel-scale.ts';
import { rowValues } from '#shared/judge/sketch.ts';
import { quantile } from '#shared/judge/statistics.ts';
import type { Floor } from './limits.ts';
import type { TracedSession } from './trace-set.ts';

const SMALLEST_EXPONENT = -14;
const FRACTION_BITS = 10;

/**
 * How much one value of a hidden row weighs, relative to the row's update, when f16 rounds it the other way: the median
 * over rows of a value of usual size, and the largest over rows of the value that weighs most.
 */
export function flipFloor(sessions: readonly TracedSession[]): Floor {
  const usual: number[] = [];
  const worst: number[] = [];
  for (const { model, range, input, traces } of sessions) {
    if (range.head) continue;
    const { config, pins } = model.manifest;
    const scale = channelScale(model.manifest);
    const output = rowValues(traces[0]!.rows, pins.boundary);
    const base = range.embedding ? null : rowValues(input, pins.boundary);
    for (let at = 0; at < output.length; at += config.hiddenSize) {
      let [update, flips, largest] = [0, 0, 0];
      for (let c = 0; c < config.hiddenSize; c++) {
        const value = output[at + c]!;
        const unit = 2 ** (Math.max(SMALLEST_EXPONENT, Math.floor(Math.log2(Math.abs(value)))) - FRACTION_BITS);
        update += ((value - (base?.[at + c] ?? 0)) / scale[c]!) ** 2;
        flips += (unit / scale[c]!) ** 2;
        largest = Math.max(largest, unit / scale[c]!);
      }
      usual.push(Math.sqrt(flips / config.hiddenSize / update));
      worst.push(largest / Math.sqrt(update));
    }
  }
  return { row: quantile(usual, 0.5), worstRow: quantile(worst, 0.999) };
}
