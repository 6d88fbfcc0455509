import type { BlobStore } from '../blobs/blob-store.ts';
import type { Clock } from '../clock.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import type { ErrorCode } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { StageRange } from '../model/stage.ts';
import type { Envelope } from '../session/route.ts';
import type { BackendInfo } from '../wire/worker-message.ts';
import type { ControlClient } from './control-client.ts';
import type { Links } from './link.ts';
import type { WorkerClient } from './worker-client.ts';

export interface VolunteerSettings {
  readonly backend: 'auto' | 'webgpu' | 'wasm';
  /** Test only: keep the device's `subgroups` feature. */
  readonly keepSubgroups: boolean;
  /** Memory the person lends. */
  readonly pledgeBytes: number;
  /** Sessions it runs at once. */
  readonly slots: number;
  readonly webrtc: boolean;
  /** Stages that were held before, best first, so that a reload gets its old work back. */
  readonly held: readonly { readonly model: Digest; readonly range: StageRange }[];
  /** True while the page is hidden, where the browser may slow it down. */
  readonly isHidden: () => boolean;
}

export interface VolunteerDeps {
  readonly control: ControlClient;
  readonly links: Links;
  readonly worker: WorkerClient;
  readonly blobs: BlobStore;
  /** Bytes [start, end) of a blob from wherever they can be had; they are checked here. */
  readonly fetchRange: (
    digest: Digest,
    start: number,
    end: number,
    signal: AbortSignal,
  ) => Promise<Uint8Array<ArrayBuffer>>;
  /** The signed manifest, as `/api/models/DIGEST` answers; it is checked here. */
  readonly fetchManifest: (digest: Digest, signal: AbortSignal) => Promise<Envelope>;
  readonly clock: Clock;
  readonly verify: VerifySignature;
  readonly settings: VolunteerSettings;
}

export interface VolunteerState {
  readonly phase:
    'off' | 'connecting' | 'idle' | 'downloading' | 'loading' | 'serving' | 'paused' | 'finishing' | 'failed';
  /** What it does now or why it does nothing, in a sentence for people. */
  readonly message: string;
  readonly backend: BackendInfo | null;
  readonly model: { readonly name: string; readonly digest: Digest } | null;
  readonly range: StageRange | null;
  readonly progress: { readonly label: string; readonly done: number; readonly total: number } | null;
  readonly memoryBytes: number;
  /** Sessions running now. */
  readonly sessions: number;
  /** Positions that passed its stage in this sitting. */
  readonly tokensServed: number;
  /** Over the last few seconds. */
  readonly tokensPerSecond: number;
  /** Positions served in each of the last seconds (HISTORY_SECONDS at most), oldest first, for a chart. */
  readonly history: readonly { readonly atMs: number; readonly tokens: number }[];
  readonly probeError: number | null;
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
}

/** One device that lends its memory and compute. It does nothing until `start`. */
export declare class Volunteer {
  constructor(deps: VolunteerDeps);
  get state(): VolunteerState;
  /** Calls `listener` after each change of `state`; the returned function removes it. */
  onChange(listener: () => void): () => void;
  /** Starts to work, or goes on after `pause`. */
  start(): void;
  /** Takes no new sessions; running ones go on and the stage stays loaded. */
  pause(): void;
  resume(): void;
  /** Lets running sessions end (for a bounded time), then turns off. */
  finish(): Promise<void>;
  /** Turns off at once; running sessions fail over to others. */
  stop(): Promise<void>;
}
