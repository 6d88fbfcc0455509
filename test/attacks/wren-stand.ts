import { keptHistories } from '../bench/calibrate/record.ts';
import { evenRanges, tracedWren } from '../bench/calibrate/trace-set.ts';
import { importWren } from '../support/imported-wren.ts';
import { withNeighbourWeights, withThreeBits, withUnroundedWeights } from '../support/traces/substitutes.ts';
import { ComputePool } from './memo-compute.ts';
import { createNetworkStand, type NetworkStand } from './network-trials.ts';

/** The default model in two stages, with every model that a liar may hold in its place. */
export async function wrenStand(histories: readonly Uint32Array[], prompts: number): Promise<NetworkStand> {
  const model = tracedWren(await importWren('q4'));
  return createNetworkStand(model, evenRanges(model.manifest.config.layers, 2), new ComputePool(), histories, prompts, {
    q8: tracedWren(await importWren('q8')),
    fp32: withUnroundedWeights(tracedWren(await importWren('fp32'))),
    three: withThreeBits(model),
    neighbour: withNeighbourWeights(model),
  });
}

/** Prompts are what the default model was asked and said. */
export async function wrenStandOfHistories(prompts: number): Promise<NetworkStand> {
  return wrenStand(await keptHistories(await importWren('q4'), false), prompts);
}
