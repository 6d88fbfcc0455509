import type { LocatedBlobs } from '../blobs/read-blobs.ts';
import type { Work } from '../crypto/work.ts';
import type { ErrorCode } from '../errors.ts';
import type { SessionId } from '../ids.ts';
import type { Manifest } from '../model/manifest.ts';
import type { StageRange } from '../model/stage.ts';
import type { RunRequest, RunResult } from '../rows/compute.ts';

/**
 * Between a page or Node program and its compute thread. Requests carry an id and get one reply with it; events
 * have none. Both ends are ours, so these are types without a parser. Bytes are transferred, not copied.
 */
export interface WorkerCalls {
  /** Fetches and initializes a backend's runtime ahead of `start`, without a device or a model. */
  prepare: { request: { backend: 'webgpu' | 'wasm' }; reply: null };
  /** Picks a backend. `auto` takes WebGPU where there is an adapter that computes rightly, else WASM. */
  start: {
    request: {
      backend: 'auto' | 'webgpu' | 'wasm';
      /** Test only: keep the device's `subgroups` feature. */
      keepSubgroups: boolean;
      /** The first, as of `pace`; 1 where left out. */
      dutyShare?: number;
      /** Why the processor is asked for in place of a graphics device, in words for people. */
      fallbackReason?: string;
    };
    reply: BackendInfo;
  };
  /** Sets the share of the time in which the thread may run sessions, over 0 and at most 1. */
  pace: { request: { dutyShare: number }; reply: null };
  /** Cuts, loads, warms up and probes one stage; replaces the one before. `blobs` are all that `stageBlobs` lists. */
  load: {
    request: {
      manifest: Manifest;
      range: StageRange;
      blobs: LocatedBlobs;
      probe: boolean;
      /** False where the stage is to run at once: it is neither probed nor timed then. */
      warmUp?: boolean;
      maxSessions: number;
    };
    reply: LoadedStage;
  };
  /** Does the work that a server asks of a new key, whenever nothing is loaded; the nonces are its answer. */
  work: { request: Work; reply: { readonly nonces: readonly number[] } };
  unload: { request: null; reply: null };
  open: { request: { session: SessionId; capacity: number }; reply: null };
  run: { request: RunRequest; reply: RunResult };
  cut: { request: { session: SessionId; position: number }; reply: null };
  close: { request: { session: SessionId }; reply: null };
}

export interface BackendInfo {
  readonly backend: 'webgpu' | 'wasm';
  /** `wasm`, or `webgpu/vendor/architecture` with `-subgroups` where that feature is used. */
  readonly numericClass: string;
  readonly runtimeVersion: string;
  /** Why WebGPU was not taken, in words for people; null if it was. */
  readonly fallbackReason: string | null;
  /** True where that is a fault of the graphics device which another start would have to find out again. */
  readonly isDeviceFaulty: boolean;
}

export interface LoadedStage extends BackendInfo {
  /** Memory the stage holds, weights and KV of `maxSessions` sessions. */
  readonly memoryBytes: number;
  /** Median milliseconds per layer for one token. */
  readonly layerMs: number;
  /** Largest relative difference to the manifest's values over all shapes probed; null if not probed. */
  readonly probeError: number | null;
}

export type WorkerCallName = keyof WorkerCalls;

export type WorkerRequest = {
  [Name in WorkerCallName]: { readonly id: number; readonly call: Name; readonly body: WorkerCalls[Name]['request'] };
}[WorkerCallName];

export type WorkerReply =
  | { readonly type: 'reply'; readonly id: number; readonly body: WorkerCalls[WorkerCallName]['reply'] }
  | ({ readonly type: 'failure'; readonly id: number } & WorkerFailure)
  | {
      readonly type: 'progress';
      /** `done` and `total` are bytes in `runtime`, a download, and steps in the others. */
      readonly phase: 'runtime' | 'cut' | 'create' | 'warm-up' | 'probe';
      readonly done: number;
      readonly total: number;
    }
  /** The device is gone; the thread must be replaced. */
  | ({ readonly type: 'lost' } & WorkerFailure);

/** A ChorusError on its way out of the thread. */
export interface WorkerFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly raw?: string | null;
}

/** From the importer to its reference thread: one stage, all of its blobs, and what goes in from position 0 on. */
export interface ReferenceRequest {
  readonly manifest: Manifest;
  readonly range: StageRange;
  readonly graph: Uint8Array;
  readonly blobs: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Token ids, or f32 rows [positions, hiddenSize]. */
  readonly input: Uint32Array | Float32Array;
  readonly positions: number;
}

export type ReferenceReply =
  /** f32 rows [positions, hiddenSize], or [positions, vocabularySize] from the head. */
  | { readonly type: 'values'; readonly values: Float32Array<ArrayBuffer>; readonly runtimeVersion: string }
  | { readonly type: 'failure'; readonly code: ErrorCode; readonly message: string };
