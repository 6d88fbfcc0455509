import type { Digest } from '#shared/ids.ts';
import type { ModelSize } from '#shared/judge/thresholds.ts';
import { stageGrid, type UnitSpan } from './stage-grid.ts';
import { stageMemoryBytes, unitCosts, type BackendName, type SizedManifest } from './stage-memory.ts';

/** A model as placement and scheduling see it. */
export interface PlannedModel {
  readonly digest: Digest;
  readonly name: string;
  readonly layers: number;
  readonly size: ModelSize;
  /** Units of the stage grid: layers, embedding and head. */
  readonly units: number;
  readonly minStages: number;
  readonly maxPositions: number;
  readonly runtimeVersion: string;
  /** The one backend that computes it, on devices that have it; null where any does. */
  readonly onlyOn: BackendName | null;
  /** Every stage that may be handed out, larger ones first. */
  readonly grid: readonly UnitSpan[];
  /** What a stage takes of a device that offers this backend, on the one that it is computed by there. */
  memoryBytes(span: UnitSpan, backend: BackendName, slots: number): number;
}

/** `isPlanned` says that the CPU engine knows the model's graph. */
export function planModel(
  digest: Digest,
  manifest: SizedManifest,
  leastStages: number,
  isPlanned: boolean,
): PlannedModel {
  const { layers, maxPositions, hiddenSize } = manifest.config;
  const minStages = Math.min(layers + 2, Math.max(manifest.minStages, leastStages));
  const known = new Map<string, number>();
  const onlyOn = manifest.pins.onlyOn ?? null;
  return {
    digest,
    name: manifest.name,
    layers,
    size: { hiddenSize, layers },
    units: layers + 2,
    minStages,
    maxPositions,
    runtimeVersion: manifest.pins.runtimeVersion,
    onlyOn,
    grid: stageGrid(unitCosts(manifest), minStages),
    memoryBytes(span, offered, slots) {
      const backend = onlyOn ?? offered;
      const key = `${span.start}-${span.end} ${backend} ${slots}`;
      const bytes = known.get(key) ?? stageMemoryBytes(manifest, span, backend, slots, isPlanned);
      known.set(key, bytes);
      return bytes;
    },
  };
}
