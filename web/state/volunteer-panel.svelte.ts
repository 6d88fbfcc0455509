import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { toChorusError } from '#shared/errors.ts';
import { digestSchema } from '#shared/ids.ts';
import { describeRange, stageRangeSchema } from '#shared/model/stage.ts';
import { STATE_OFF, type VolunteerState } from '#shared/peer/volunteer/volunteer-state.ts';
import type { Volunteer } from '#shared/peer/volunteer/volunteer.ts';
import { lendingOf, type Settings, type VolunteerSettings } from './settings.svelte.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';

export type VolunteerHandle = Pick<
  Volunteer,
  'state' | 'onChange' | 'start' | 'configure' | 'pause' | 'resume' | 'finish' | 'stop'
>;

export type VolunteerAct = 'start' | 'pause' | 'resume' | 'finish' | 'stop';

const heldSchema = z.array(z.object({ model: digestSchema, range: stageRangeSchema })).max(8);
export type HeldStages = z.infer<typeof heldSchema>;

/** What this device is known for from before. */
export interface PastWork {
  /** Stages it held, best first. */
  readonly held: HeldStages;
  /** Why its graphics device is not tried again by itself; null where it may be. */
  readonly deviceFault: string | null;
}

export interface VolunteerPanelDeps {
  /** Connects and makes a volunteer that has not started yet. Rejects once `signal` aborts. */
  readonly createVolunteer: (
    settings: VolunteerSettings,
    past: PastWork,
    signal: AbortSignal,
  ) => Promise<VolunteerHandle>;
  /** Loads the code that `createVolunteer` needs, without connecting or computing. */
  readonly prefetch: () => void;
  /** Loads a backend's runtime into the thread that the next start takes. */
  readonly prepareThread: (backend: 'webgpu' | 'wasm') => Promise<void>;
  /** Asks the device to stay awake; the returned function lets it sleep. */
  readonly keepAwake: () => Promise<() => void>;
  readonly settings: Settings;
  readonly storage: KeyValueStorage;
  /** Storage that outlives a reload of this tab, but not the tab. */
  readonly tabStorage: KeyValueStorage;
  readonly clock: Clock;
}

export interface LogEntry {
  readonly id: number;
  readonly atMs: number;
  readonly text: string;
}

const MAX_LOG_ENTRIES = 60;
const MAX_HELD = 4;
const MAX_FAULT = 500;
/** Browsers take two clicks within this for a double one. */
const DOUBLE_TAP_MS = 500;
/** A slider that is being drawn passes many values. */
const SETTLE_MS = 600;

/** The volunteer of this tab as its view shows and steers it. It never starts by itself. */
export class VolunteerPanel {
  state: VolunteerState = $state.raw(STATE_OFF);
  /** True while the runtime is loaded ahead of a start. */
  isPreparing = $state(false);
  /** True for a moment after each press, while other buttons come to its place. */
  isHeld = $state(false);
  log: readonly LogEntry[] = $state.raw([]);

  readonly #deps: VolunteerPanelDeps;
  readonly #held: Stored<HeldStages>;
  /** The backend this tab works with, or worked with when it was reloaded. */
  readonly #working: Stored<'webgpu' | 'wasm' | null>;
  /** Why the graphics device failed in this visit, until another backend is chosen. */
  readonly #deviceFault: Stored<string | null>;
  #handle: VolunteerHandle | null = null;
  /** Aborts when the person stops before there is a volunteer. */
  #starting: AbortController | null = null;
  #letSleep: (() => void) | null = null;
  #stopSettling = (): void => undefined;
  #nextId = 0;

  constructor(deps: VolunteerPanelDeps) {
    this.#deps = deps;
    this.#held = new Stored<HeldStages>(deps.storage, 'chorus.held', heldSchema, []);
    this.#working = new Stored(deps.tabStorage, 'chorus.working', z.enum(['webgpu', 'wasm']).nullable(), null);
    this.#deviceFault = new Stored(deps.tabStorage, 'chorus.gpu', z.string().max(MAX_FAULT).nullable(), null);
  }

  get isOff(): boolean {
    return this.state.phase === 'off' || this.state.phase === 'failed';
  }

  /** True where this tab worked until it was reloaded. */
  get wasWorking(): boolean {
    return this.isOff && this.#working.value !== null;
  }

  get #past(): PastWork {
    const isFree = this.#deps.settings.volunteer.value.backend === 'auto';
    return { held: this.#held.reread(), deviceFault: isFree ? this.#deviceFault.value : null };
  }

  /** Called when a start is likely to come. Where this tab worked until it was reloaded, it is all but certain. */
  prefetch(): void {
    this.#deps.prefetch();
    const backend = this.#working.value;
    if (backend === null || !this.wasWorking || this.#starting !== null) return;
    this.isPreparing = true;
    const ended = () => (this.isPreparing = false);
    this.#deps.prepareThread(backend).then(ended, ended);
  }

  /** Does what a button says. The second tap of a double tap does nothing, whatever button has come under it. */
  press(act: VolunteerAct): void {
    if (this.isHeld) return;
    this.isHeld = true;
    this.#deps.clock.setTimer(() => (this.isHeld = false), DOUBLE_TAP_MS);
    void this[act]();
  }

  /** Keeps settings. A volunteer that works takes them as soon as they stay as they are. */
  change(change: Partial<VolunteerSettings>): void {
    const { settings, clock } = this.#deps;
    settings.volunteer.update(change);
    if (change.backend !== undefined) this.#deviceFault.value = null;
    this.#stopSettling();
    this.#stopSettling = clock.setTimer(() => this.#apply(), SETTLE_MS);
  }

  #apply(): void {
    const handle = this.#handle;
    if (handle === null) return;
    const settings = this.#deps.settings.volunteer.value;
    handle.configure(lendingOf(settings));
    if (settings.keepAwake && this.#letSleep === null) void this.#stayAwake(handle);
    if (!settings.keepAwake) this.#sleep();
  }

  /** Starts with the settings as they are now. Failures end in the state, never in a rejection. */
  async start(): Promise<void> {
    if (this.#starting !== null || !this.isOff) return;
    const starting = new AbortController();
    this.#starting = starting;
    this.#show({ ...STATE_OFF, phase: 'connecting', message: 'Connecting to the signal server' });
    try {
      const { settings, createVolunteer } = this.#deps;
      const handle = await createVolunteer(settings.volunteer.value, this.#past, starting.signal);
      starting.signal.throwIfAborted();
      this.#starting = null;
      this.#handle = handle;
      handle.onChange(() => this.#follow(handle));
      // Settings may have changed while it was made.
      handle.configure(lendingOf(settings.volunteer.value));
      handle.start();
      this.#follow(handle);
      if (settings.volunteer.value.keepAwake) await this.#stayAwake(handle);
    } catch (thrown) {
      if (starting.signal.aborted) return;
      const error = toChorusError(thrown);
      this.#show({
        ...STATE_OFF,
        phase: 'failed',
        message: error.own ?? 'This tab could not start.',
        error,
      });
    } finally {
      if (this.#starting === starting) this.#starting = null;
    }
  }

  /** Takes no new answers; those under way go on. */
  pause(): void {
    this.#handle?.pause();
  }

  resume(): void {
    this.#handle?.resume();
  }

  /** Ends the answers under way, then turns off. */
  async finish(): Promise<void> {
    if (this.#starting !== null) return this.stop();
    const handle = this.#handle;
    await handle?.finish();
    this.#release(handle);
  }

  /** Turns off at once; others take over what was under way. */
  stop(): void {
    if (this.#starting !== null) {
      this.#starting.abort();
      this.#starting = null;
      this.#working.value = null;
      return this.#show(STATE_OFF);
    }
    const handle = this.#handle;
    handle?.stop();
    this.#release(handle);
  }

  #follow(handle: VolunteerHandle): void {
    if (this.#handle !== handle) return;
    const state = handle.state;
    if (state.backend !== this.state.backend) this.#judgeDevice(state);
    this.#show(state);
    if (state.phase === 'serving') this.#remember(state);
    if (['paused', 'finishing', 'off', 'failed'].includes(state.phase)) this.#working.value = null;
    if (state.phase === 'off' || state.phase === 'failed') this.#release(handle);
  }

  #show(state: VolunteerState): void {
    const before = this.state;
    this.state = state;
    const isNews = state.phase !== before.phase || (state.message !== before.message && state.progress === null);
    if (isNews && state.message !== '' && state.message !== this.log[0]?.text) {
      const entry = { id: this.#nextId++, atMs: this.#deps.clock.wallMs(), text: state.message };
      this.log = [entry, ...this.log].slice(0, MAX_LOG_ENTRIES);
    }
  }

  /** What is known of the device changes with each backend that is opened, never in between. */
  #judgeDevice({ backend }: VolunteerState): void {
    if (backend === null || this.#deps.settings.volunteer.value.backend !== 'auto') return;
    const { isDeviceFaulty, fallbackReason } = backend;
    this.#deviceFault.value = isDeviceFaulty ? (fallbackReason?.slice(0, MAX_FAULT) ?? null) : null;
  }

  #remember({ model, range, backend }: VolunteerState): void {
    if (model === null || range === null) return;
    if (this.#working.value !== backend?.backend) this.#working.value = backend?.backend ?? null;
    const first = this.#held.value[0];
    if (first?.model === model.digest && describeRange(first.range) === describeRange(range)) return;
    const others = this.#held.value.filter(
      (held) => held.model !== model.digest || describeRange(held.range) !== describeRange(range),
    );
    this.#held.value = [{ model: model.digest, range }, ...others].slice(0, MAX_HELD);
  }

  async #stayAwake(handle: VolunteerHandle): Promise<void> {
    try {
      const letSleep = await this.#deps.keepAwake();
      const isWanted = this.#handle === handle && this.#deps.settings.volunteer.value.keepAwake;
      if (isWanted && this.#letSleep === null) this.#letSleep = letSleep;
      else letSleep();
    } catch {
      // Not every browser can, and none must: the switch is a wish.
    }
  }

  #sleep(): void {
    this.#letSleep?.();
    this.#letSleep = null;
  }

  #release(handle: VolunteerHandle | null): void {
    if (handle === null || this.#handle !== handle) return;
    this.#handle = null;
    this.#working.value = null;
    this.#sleep();
    if (!this.isOff) this.#show(handle.state.phase === 'failed' ? handle.state : STATE_OFF);
  }
}
