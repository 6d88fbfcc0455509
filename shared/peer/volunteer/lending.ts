import type { Digest } from '../../ids.ts';
import { sameRange, type StageRange } from '../../model/stage.ts';

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
