import type { Digest } from '../../ids.ts';
import { sameRange, type StageRange } from '../../model/stage.ts';
import type { Offer } from '../../wire/control-message.ts';
import type { BackendInfo } from '../../wire/worker-message.ts';

export interface LendingSettings {
  readonly backend: 'auto' | 'webgpu' | 'wasm';
  /** Why `auto` is not to try the graphics device, which failed before; null, or left out, where it did not. */
  readonly deviceFault?: string | null;
  /** Test only: keep the device's `subgroups` feature. */
  readonly keepSubgroups: boolean;
  /** Memory the person lends. */
  readonly pledgeBytes: number;
  /** Sessions it runs at once. */
  readonly slots: number;
  /** Share of the time in which it may compute, over 0 and at most 1. */
  readonly dutyShare: number;
  readonly webrtc: boolean;
  /** Stages that were held before, best first, so that a reload gets its old work back. */
  readonly held: readonly HeldStage[];
  /** True while the page is hidden, where the browser may slow it down. */
  readonly isHidden: () => boolean;
}

/** The settings that may change while it works. */
export type Lending = Pick<LendingSettings, 'backend' | 'pledgeBytes' | 'slots' | 'dutyShare'>;

export interface HeldStage {
  readonly model: Digest;
  readonly range: StageRange;
}

/** True for the same layers of the same model. */
export function isSameStage(a: HeldStage, b: HeldStage): boolean {
  return a.model === b.model && sameRange(a.range, b.range);
}

/** What a device says of itself; the stage that it has loaded comes first among those it has held. */
export function offerOf(
  { backend: chosen, webrtc, pledgeBytes, slots, held }: LendingSettings,
  { backend, numericClass, runtimeVersion }: BackendInfo,
  loaded: HeldStage | null,
  layerMs: number | null,
): Offer {
  const now = loaded === null ? [] : [{ model: loaded.model, range: loaded.range }];
  const others = held.filter((stage) => now.every((other) => !isSameStage(other, stage)));
  return {
    ...{ type: 'offer', backend, numericClass, runtimeVersion },
    ...(chosen === 'webgpu' && { hasProcessor: false }),
    ...{ webrtc, pledgeBytes, slots },
    held: [...now, ...others].slice(0, 8),
    layerMs,
  };
}
