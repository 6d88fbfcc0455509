import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import type { VolunteerState } from '#shared/peer/volunteer/volunteer-state.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';

const count = z.int().min(0);
const totalsSchema = z.object({
  /** Tokens that passed a stage held here. */
  tokens: count,
  /** Parts of others' work that were run again here. */
  chunksRerun: count,
  /** Parts of this browser's own work that it stood for. */
  chunksCommitted: count,
  /** When the counting began; null before anything was served. */
  sinceMs: z.number().min(0).nullable(),
});
export type ServedSums = z.infer<typeof totalsSchema>;
type Counts = Omit<ServedSums, 'sinceMs'>;

export const MAX_NAME = 40;
const NOTHING: Counts = { tokens: 0, chunksRerun: 0, chunksCommitted: 0 };
/** Work is added to what is stored no more often than this. */
const ADD_MS = 2_000;

export interface ServedTotalsDeps {
  readonly storage: KeyValueStorage;
  readonly clock: Clock;
  /** Runs `work` while no other tab of this browser does the same. */
  readonly exclusively: (work: () => Promise<void>) => Promise<void>;
}

interface Working {
  readonly state: Pick<VolunteerState, 'tokensServed' | 'spansShadowed' | 'spansCommitted'>;
  onChange(listener: () => void): () => void;
}

/** What this browser has served in all, in whatever tab and under whatever key, and the name that its owner gave it. */
export class ServedTotals {
  readonly #deps: ServedTotalsDeps;
  readonly #stored: Stored<ServedSums>;
  readonly #name: Stored<string>;
  /** Served here and not stored yet. */
  #pending: Counts = $state.raw(NOTHING);
  #stopTimer: (() => void) | null = null;

  constructor(deps: ServedTotalsDeps) {
    this.#deps = deps;
    this.#stored = new Stored<ServedSums>(deps.storage, 'chorus.served', totalsSchema, { ...NOTHING, sinceMs: null });
    this.#name = new Stored<string>(deps.storage, 'chorus.name', z.string().max(MAX_NAME), '');
  }

  get sums(): ServedSums {
    return { ...add(this.#stored.value, this.#pending), sinceMs: this.#stored.value.sinceMs };
  }

  /** Empty where none was given. */
  get name(): string {
    return this.#name.value;
  }

  set name(name: string) {
    this.#name.value = name.trim().slice(0, MAX_NAME);
  }

  /** Counts a volunteer's work as it happens. */
  follow(volunteer: Working): void {
    let before = countsOf(volunteer);
    volunteer.onChange(() => {
      const now = countsOf(volunteer);
      // A new sitting counts from 0.
      const start = now.tokens < before.tokens || now.chunksRerun < before.chunksRerun ? NOTHING : before;
      before = now;
      this.#count(add(now, start, -1));
    });
  }

  /** Takes up what other tabs have stored. */
  reread(): void {
    this.#stored.reread();
    this.#name.reread();
  }

  /** Stores what waits, without waiting for other tabs: the page may be about to go. */
  flush(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    const more = this.#pending;
    if (isNothing(more)) return;
    const stored = this.#stored.reread();
    this.#stored.value = { ...add(stored, more), sinceMs: stored.sinceMs ?? this.#deps.clock.wallMs() };
    this.#pending = NOTHING;
  }

  #count(more: Counts): void {
    if (isNothing(more)) return;
    this.#pending = add(this.#pending, more);
    const { clock, exclusively } = this.#deps;
    this.#stopTimer ??= clock.setTimer(() => void exclusively(async () => this.flush()), ADD_MS);
  }
}

function countsOf({ state }: Working): Counts {
  return { tokens: state.tokensServed, chunksRerun: state.spansShadowed, chunksCommitted: state.spansCommitted };
}

function add(a: Counts, b: Counts, sign: 1 | -1 = 1): Counts {
  return {
    tokens: Math.max(0, a.tokens + sign * b.tokens),
    chunksRerun: Math.max(0, a.chunksRerun + sign * b.chunksRerun),
    chunksCommitted: Math.max(0, a.chunksCommitted + sign * b.chunksCommitted),
  };
}

function isNothing({ tokens, chunksRerun, chunksCommitted }: Counts): boolean {
  return tokens + chunksRerun + chunksCommitted === 0;
}
