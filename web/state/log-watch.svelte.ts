import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { HeadMemory, LogClient } from '#shared/log/log-client.ts';
import type { LogView } from '#shared/log/log-history.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';

const WATCHED_MS = 5_000;
/** A look that began less than this ago stands for another. */
const FRESH_MS = 2_000;

const noteSchema = z.string().max(64 * 1024);
const memorySchema = z
  .object({
    /** The log's verifier key when it was first seen. */
    vkey: z.string().max(400),
    /** The newest checkpoint that was seen of it. */
    note: noteSchema,
    /** Two checkpoints of which neither begins with the other. */
    split: z.tuple([noteSchema, noteSchema]).readonly().nullable().default(null),
    seenAtMs: z.number(),
    firstSeenAtMs: z.number(),
  })
  .nullable();
export type RememberedLog = NonNullable<z.infer<typeof memorySchema>>;

export interface LogWatchDeps {
  readonly fetchLog: (signal: AbortSignal) => Promise<LogStatus>;
  /** A client of the log with this verifier key. Throws `bad-message` if it is none. */
  readonly openClient: (vkey: string, memory: HeadMemory) => Promise<Pick<LogClient, 'look' | 'holdProof'>>;
  readonly storage: KeyValueStorage;
  readonly clock: Clock;
}

/** The finding of this page's last look at the log; `other-key` where it shows another key than the one remembered. */
export type LogFinding = LogView | { readonly kind: 'other-key'; readonly remembered: string; readonly shown: string };

/** The server's log as it says it is, and as this page finds it: with the checkpoint that this browser saw last time. */
export class LogWatch {
  status: LogStatus | null = $state.raw(null);
  /** Why the server could not be asked last. */
  error: ChorusError | null = $state.raw(null);
  finding: LogFinding | null = $state.raw(null);
  /** Wall-clock time of the last look. */
  lookedAtMs: number | null = $state(null);

  readonly #deps: LogWatchDeps;
  readonly #memory: Stored<RememberedLog | null>;
  #watchers = 0;
  #cancelTimer = (): void => {};
  #looking: Promise<void> | null = null;
  #beganAtMs = -Infinity;

  constructor(deps: LogWatchDeps) {
    this.#deps = deps;
    this.#memory = new Stored<RememberedLog | null>(deps.storage, 'chorus.log', memorySchema, null);
  }

  get remembered(): RememberedLog | null {
    return this.#memory.value;
  }

  /** True where the log is not what it was: nobody should rely on it before that is cleared up. */
  get isAlarming(): boolean {
    return ['split-view', 'shrunk', 'other-key'].includes(this.finding?.kind ?? '');
  }

  /** Looks again and again while a view shows it; call the returned function when it no longer does. */
  watch(): () => void {
    this.#watchers++;
    void this.#round();
    return () => {
      this.#watchers--;
      if (this.#watchers === 0) this.#cancelTimer();
    };
  }

  /** Asks the server and holds the log to what is remembered. Never rejects; looks that come together are one. */
  look(): Promise<void> {
    if (this.#looking !== null) return this.#looking;
    if (this.#deps.clock.nowMs() - this.#beganAtMs < FRESH_MS) return Promise.resolve();
    this.#beganAtMs = this.#deps.clock.nowMs();
    return this.#alone(() => this.#look());
  }

  /**
   * Holds the checkpoint that this server proved a receipt with to what is remembered of its log, and to what the log
   * shows; a proof of another log is left alone. Never rejects.
   */
  async holdProof(proof: string): Promise<void> {
    while (this.#looking !== null) await this.#looking;
    await this.#alone(() => this.#holdProof(proof));
  }

  /** Begins anew with what the log shows next. */
  async forget(): Promise<void> {
    await this.#looking;
    this.#memory.value = null;
    this.finding = null;
    this.#beganAtMs = -Infinity;
    await this.look();
  }

  /** One at a time: each begins with what the one before has remembered. */
  #alone(look: () => Promise<void>): Promise<void> {
    this.#looking = look().finally(() => (this.#looking = null));
    return this.#looking;
  }

  async #round(): Promise<void> {
    this.#cancelTimer();
    await this.look();
    this.#cancelTimer();
    if (this.#watchers > 0) this.#cancelTimer = this.#deps.clock.setTimer(() => void this.#round(), WATCHED_MS);
  }

  async #look(): Promise<void> {
    const { fetchLog, openClient, clock } = this.#deps;
    const { signal } = new AbortController();
    try {
      const status = await fetchLog(signal);
      this.status = status;
      this.error = null;
      const known = this.#memory.reread();
      if (known !== null && known.vkey !== status.vkey) {
        this.finding = { kind: 'other-key', remembered: known.vkey, shown: status.vkey };
      } else {
        const client = await openClient(status.vkey, this.#headMemory(status.vkey, known));
        this.finding = await client.look(signal);
      }
    } catch (thrown) {
      this.error = toChorusError(thrown, 'server-lost');
    } finally {
      this.lookedAtMs = clock.wallMs();
    }
  }

  async #holdProof(proof: string): Promise<void> {
    const { fetchLog, openClient } = this.#deps;
    const { signal } = new AbortController();
    try {
      const known = this.#memory.reread();
      // The key that is remembered counts, whatever the server calls its log's now: a look finds that out.
      const vkey = known?.vkey ?? (await fetchLog(signal)).vkey;
      const client = await openClient(vkey, this.#headMemory(vkey, known));
      this.finding = (await client.holdProof(proof, signal)) ?? this.finding;
    } catch (thrown) {
      this.error = toChorusError(thrown, 'server-lost');
    }
  }

  /** The memory of the log as a look begins. Other tabs store there too: nothing of theirs is lost. */
  #headMemory(vkey: string, atFirst: RememberedLog | null): HeadMemory {
    let known = atFirst;
    return {
      load: () => Promise.resolve(known?.note ?? null),
      save: (note) => {
        // A note that another tab has stored since was not compared with this one: the next look does that.
        if (this.#memory.reread() === known) {
          const nowMs = this.#deps.clock.wallMs();
          known = { split: null, firstSeenAtMs: nowMs, ...known, vkey, note, seenAtMs: nowMs };
          this.#memory.value = known;
        }
        return Promise.resolve();
      },
      loadSplit: () => Promise.resolve(known?.split ?? null),
      saveSplit: (split) => {
        // Two histories are proof whatever is known by now; the first proof stays.
        const now = this.#memory.reread();
        if (now?.vkey === vkey && now.split === null) {
          known = { ...now, split };
          this.#memory.value = known;
        }
        return Promise.resolve();
      },
    };
  }
}
