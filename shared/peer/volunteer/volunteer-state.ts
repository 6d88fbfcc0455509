import type { ChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import type { StageRange } from '../../model/stage.ts';
import type { ReplicaCounts } from '../../replica/replica-event.ts';
import type { ServerMessage } from '../../wire/control-message.ts';
import type { BackendInfo } from '../../wire/worker-message.ts';
import type { LoadProgress } from './worker-client.ts';

export interface VolunteerState {
  readonly phase:
    | 'off'
    | 'connecting'
    | 'idle'
    | 'downloading'
    | 'loading'
    | 'serving'
    | 'paused'
    | 'finishing'
    | 'failed';
  /** A sentence for people: the volunteer's present work, or why it has none. */
  readonly message: string;
  readonly backend: BackendInfo | null;
  readonly model: { readonly name: string; readonly digest: Digest } | null;
  readonly range: StageRange | null;
  /** True while the server waits for its proof of work. */
  readonly isProving: boolean;
  readonly progress: {
    readonly label: string;
    readonly unit: 'bytes' | 'steps';
    readonly done: number;
    readonly total: number;
  } | null;
  readonly memoryBytes: number;
  /** Sessions running now. */
  readonly sessions: number;
  /** Positions that passed its stage in this sitting. */
  readonly tokensServed: number;
  /** Spans of others' work that it ran again and stood for, in this sitting. */
  readonly spansShadowed: number;
  /** Spans of its own work that it stood for, for others to check, in this sitting. */
  readonly spansCommitted: number;
  /** Over the last few seconds. */
  readonly tokensPerSecond: number;
  /** Positions served in each of the last seconds, oldest first, for a chart. */
  readonly history: readonly ServedSecond[];
  readonly probeError: number | null;
  /** How it stands with the server, as that said last; null before. */
  readonly standing: VolunteerStanding | null;
  readonly error: ChorusError | null;
}

/** What a volunteer knows of its standing. */
export type VolunteerStanding = Omit<Extract<ServerMessage, { type: 'standing' }>, 'type'>;

export interface ServedSecond {
  /** Wall-clock milliseconds of its end. */
  readonly atMs: number;
  readonly tokens: number;
}

export const STATE_OFF: VolunteerState = {
  phase: 'off',
  message: 'Not volunteering.',
  backend: null,
  model: null,
  range: null,
  isProving: false,
  progress: null,
  memoryBytes: 0,
  sessions: 0,
  tokensServed: 0,
  spansShadowed: 0,
  spansCommitted: 0,
  tokensPerSecond: 0,
  history: [],
  probeError: null,
  standing: null,
  error: null,
};

/** The steps of loading as people read them. */
export const LOAD_STEPS = {
  runtime: { label: 'Runtime', unit: 'bytes' },
  cut: { label: 'Cutting the stage out of the model', unit: 'steps' },
  create: { label: 'Starting the runtime', unit: 'steps' },
  'warm-up': { label: 'Warming up', unit: 'steps' },
  probe: { label: 'Checking that this device computes rightly', unit: 'steps' },
} as const satisfies Record<LoadProgress['phase'], { label: string; unit: 'bytes' | 'steps' }>;

/** What it has done in this sitting, of all that it counts. */
export function doneOf({
  positions,
  spansShadowed,
  spansCommitted,
}: ReplicaCounts): Pick<VolunteerState, 'tokensServed' | 'spansShadowed' | 'spansCommitted'> {
  return { tokensServed: positions, spansShadowed, spansCommitted };
}
