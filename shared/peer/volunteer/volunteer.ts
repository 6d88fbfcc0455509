import type { WithBlobsDeps } from '../../blobs/with-blobs.ts';
import { repeat, type RandomBytes } from '../../clock.ts';
import type { Identity, VerifySignature } from '../../crypto/identity.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import { DRAIN_TIMEOUT_MS } from '../../limits.ts';
import { Listeners } from '../../listeners.ts';
import { describeRange } from '../../model/stage.ts';
import { addCounts, NO_COUNTS, type ReplicaCounts } from '../../replica/replica-event.ts';
import type { PeerControlMessage, ServerMessage } from '../../wire/control-message.ts';
import type { BackendInfo, LoadedStage } from '../../wire/worker-message.ts';
import type { ControlClient, ControlState } from '../control/control-client.ts';
import type { Links } from '../link/link.ts';
import { AdmissionWork } from './admission-work.ts';
import { fetchRunnableManifest, withStageBlobs, type StageSource } from './fetch-stage.ts';
import { isSameStage, offerOf, type HeldStage, type Lending, type LendingSettings } from './lending.ts';
import { measuredCompute, type MeasuredCompute } from './measured-compute.ts';
import { describeDamage } from './describe-damage.ts';
import { ReplicaHost } from './replica-host.ts';
import { ServingHistory } from './serving-history.ts';
import { StateTeller } from './state-teller.ts';
import { doneOf, LOAD_STEPS, STATE_OFF, type VolunteerState } from './volunteer-state.ts';
import type { WorkerClient } from './worker-client.ts';

export type { HeldStage, Lending, LendingSettings } from './lending.ts';
export type { VolunteerStanding, VolunteerState } from './volunteer-state.ts';

export interface VolunteerDeps extends StageSource {
  /** Of the key that `control` has proved. */
  readonly identity: Identity;
  readonly control: Pick<ControlClient, 'id' | 'serverKey' | 'welcome' | 'state' | 'send' | 'onMessage' | 'onState'>;
  readonly links: Links;
  readonly worker: WorkerClient;
  readonly verify: VerifySignature;
  readonly random: RandomBytes;
  readonly settings: LendingSettings;
}

type Assignment = Extract<ServerMessage, { type: 'assign' }>;

interface Holding extends HeldStage {
  /** Of the model. */
  readonly name: string;
  readonly stage: LoadedStage;
  /** Sessions that it was loaded for. */
  readonly slots: number;
  readonly compute: MeasuredCompute;
  readonly host: ReplicaHost;
}

const TICK_MS = 1_000;
/** Threads replaced within RESTART_WINDOW_MS before the device is taken for unfit. */
const MAX_RESTARTS = 3;
const RESTART_WINDOW_MS = 10 * 60_000;

/** One device that lends its memory and compute. It does nothing until `start`. */
export class Volunteer {
  readonly #deps: VolunteerDeps;
  readonly #listeners = new Listeners();
  readonly #admission: AdmissionWork;
  readonly #states: StateTeller;
  #settings: LendingSettings;
  #state: VolunteerState = STATE_OFF;
  /** Aborts when the volunteer is turned off; null while it is. */
  #sitting: AbortController | null = null;
  /** Aborts when an assignment is replaced. */
  #task = new AbortController();
  #stops: (() => void)[] = [];
  #wanted: LendingSettings['backend'] = 'auto';
  /** Why it is no graphics device any more, where it might have been one. */
  #whyProcessor: string | null = null;
  /** Threads asked for, in this sitting or before; only the last one counts. */
  #threads = 0;
  /** Null while there is no thread to work with. */
  #backend: BackendInfo | null = null;
  /** Class that the server has it for. */
  #toldClass = '';
  #holding: Holding | null = null;
  #isPaused = false;
  /** Done with stages held before, in this sitting. */
  #countsBefore = NO_COUNTS;
  #history = new ServingHistory();
  #restartsMs: number[] = [];
  /** Signs of progress of what it loads, by which the server tells a slow load from a dead one. */
  #loadSteps = 0;

  constructor(deps: VolunteerDeps) {
    this.#deps = deps;
    this.#settings = deps.settings;
    const tell = (message: PeerControlMessage): void => this.#tell(message);
    const onChange = (isProving: boolean): void => this.#update({ isProving });
    this.#admission = new AdmissionWork({ worker: deps.worker, tell, onChange });
    this.#states = new StateTeller({ ...deps, tell });
  }

  get state(): VolunteerState {
    return this.#state;
  }

  /** Calls `listener` after each change of `state`; the returned function removes it. */
  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Starts to work, or goes on after `pause`. */
  start(): void {
    if (this.#sitting !== null) return this.resume();
    const { control, worker, clock } = this.#deps;
    const sitting = new AbortController();
    const { backend, deviceFault = null } = this.#settings;
    this.#whyProcessor = backend === 'auto' ? deviceFault : null;
    this.#wanted = this.#whyProcessor === null ? backend : 'wasm';
    this.#sitting = sitting;
    this.#isPaused = false;
    this.#history = new ServingHistory();
    this.#countsBefore = NO_COUNTS;
    this.#restartsMs = [];
    this.#update({ ...STATE_OFF, phase: 'connecting', message: 'Starting the compute thread.' });
    this.#stops = [
      control.onMessage((message) => this.#onServerMessage(message)),
      control.onState((state) => this.#onServerState(state)),
      worker.onLost((error) => this.#onWorkerLost(error)),
      worker.onProgress(({ phase, done, total }) => {
        if (this.#state.phase === 'loading') this.#update({ progress: { ...LOAD_STEPS[phase], done, total } });
      }),
      repeat(clock, TICK_MS, () => this.#tick()),
      repeat(clock, control.welcome.heartbeatMs, () => this.#heartbeat()),
    ];
    void this.#startWorker(sitting.signal);
  }

  /**
   * Takes other settings. While it works they count at once; where the stage has to be loaded anew for them, running
   * sessions come to their end first.
   */
  configure(lending: Lending): void {
    const before = this.#settings;
    this.#settings = { ...before, ...lending };
    if (this.#sitting === null) return;
    if (lending.dutyShare !== before.dutyShare) this.#deps.worker.pace(lending.dutyShare);
    if (lending.backend !== before.backend) {
      this.#wanted = lending.backend;
      this.#whyProcessor = null;
      if (lending.backend !== this.#backend?.backend) return void this.#changeBackend(this.#sitting.signal);
    }
    const isOther = lending.slots !== before.slots || lending.pledgeBytes !== before.pledgeBytes;
    if (isOther && !this.#isPaused) this.#offer();
  }

  async #changeBackend(signal: AbortSignal): Promise<void> {
    const thread = ++this.#threads;
    this.#backend = null;
    this.#task.abort();
    this.#tell({ type: 'pause' });
    const message = 'Changing what it computes with: running sessions come to their end.';
    this.#update({ phase: this.#isPaused ? 'paused' : 'loading', message, progress: null, error: null });
    await this.#holding?.host.drain(DRAIN_TIMEOUT_MS, signal);
    if (signal.aborted || thread !== this.#threads) return;
    this.#letGo(new ChorusError('cancelled', 'the volunteer changes its backend'));
    this.#update({ backend: null });
    void this.#startWorker(signal);
  }

  /** Takes no new sessions; running ones go on and the stage stays loaded. */
  pause(): void {
    if (this.#sitting === null || this.#isPaused) return;
    this.#isPaused = true;
    this.#task.abort();
    if (this.#holding !== null) this.#holding.host.isAccepting = false;
    this.#tell({ type: 'pause' });
    this.#update({ phase: 'paused', message: 'Paused: takes no new sessions.', progress: null });
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#offer();
  }

  /** Says anew what this device can do, where that has changed. Running sessions go on. */
  offerAgain(): void {
    if (this.#sitting !== null && !this.#isPaused) this.#offer();
  }

  /** Lets running sessions end (for a bounded time), then turns off. */
  async finish(): Promise<void> {
    const sitting = this.#sitting;
    if (sitting === null) return;
    this.pause();
    this.#update({ phase: 'finishing', message: 'Finishing: running sessions come to their end.' });
    await this.#holding?.host.drain(DRAIN_TIMEOUT_MS, sitting.signal);
    if (this.#sitting === sitting) this.stop();
  }

  /** Turns off at once; running sessions fail over to others. */
  stop(): void {
    if (this.#sitting === null) return;
    this.#turnOff({ phase: 'off', message: STATE_OFF.message, error: null });
  }

  #turnOff(last: Pick<VolunteerState, 'phase' | 'message' | 'error'>): void {
    this.#sitting?.abort();
    this.#sitting = null;
    this.#task.abort();
    for (const stop of this.#stops.splice(0)) stop();
    this.#letGo(new ChorusError('cancelled', 'the volunteer has left'));
    this.#tell({ type: 'withdraw' });
    this.#deps.worker.stop();
    this.#admission.end();
    this.#backend = null;
    const { tokensServed, spansShadowed, spansCommitted, history } = this.#state;
    this.#update({ ...STATE_OFF, ...last, tokensServed, spansShadowed, spansCommitted, history });
  }

  async #startWorker(signal: AbortSignal): Promise<void> {
    const thread = ++this.#threads;
    try {
      const { keepSubgroups, dutyShare } = this.#settings;
      const why = this.#whyProcessor;
      const request = { backend: this.#wanted, keepSubgroups, dutyShare, ...(why !== null && { fallbackReason: why }) };
      const info = await this.#deps.worker.start(request);
      if (signal.aborted || thread !== this.#threads) return;
      this.#backend = info;
      this.#update({ backend: info });
      this.#admission.goOn();
      if (!this.#isPaused) this.#offer();
    } catch (thrown) {
      if (signal.aborted || thread !== this.#threads) return;
      const error = toChorusError(thrown, 'unsupported');
      // Where the thread died, `#onWorkerLost` sees to it.
      if (error.code !== 'worker-lost' && error.code !== 'device-lost') this.#giveUp(error);
    }
  }

  /** Says what this device can do; the server answers with an assignment or with `idle`. */
  #offer(): void {
    const { control } = this.#deps;
    const backend = this.#backend;
    if (backend === null) return;
    if (control.state.type !== 'open') return this.#onServerState(control.state);
    this.#update({ phase: 'connecting', message: 'Asking the server for work.', error: null });
    this.#toldClass = backend.numericClass;
    // It may have been found out, or chosen, since.
    const { webrtc } = this.#deps.settings;
    this.#tell(offerOf({ ...this.#settings, webrtc }, backend, this.#holding, this.#layerMs));
  }

  #onServerMessage(message: ServerMessage): void {
    if (this.#admission.receive(message)) return;
    if (message.type === 'standing') {
      const { type: _type, ...standing } = message;
      return this.#update({ standing });
    }
    // Sessions that were given out before a pause may still be opened, and are refused then by name.
    if (message.type === 'seat') return this.#holding?.host.seat(message.seat);
    if (message.type === 'unseat') return this.#holding?.host.unseat(message.session);
    if (this.#isPaused || this.#backend === null) return;
    if (message.type === 'assign') return this.#onAssign(message);
    if (message.type !== 'idle') return;
    this.#task.abort();
    this.#update({ phase: 'idle', message: message.reason, progress: null });
    const task = new AbortController();
    this.#task = task;
    void this.#unload(task.signal);
  }

  /** Gives the memory of a stage back that the server has no use for, once its running sessions have ended. */
  async #unload(signal: AbortSignal): Promise<void> {
    const held = this.#holding;
    if (held === null) return;
    await held.host.drain(DRAIN_TIMEOUT_MS, signal);
    if (signal.aborted || this.#holding !== held) return;
    this.#letGo(new ChorusError('cancelled', 'the volunteer has no work any more'));
    this.#update(this.#held);
    // A thread that is lost has unloaded it too.
    this.#deps.worker.unload().catch(() => undefined);
  }

  #onServerState(state: ControlState): void {
    this.#admission.end();
    if (state.type === 'open') return this.#isPaused ? undefined : this.#offer();
    if (state.type === 'closed')
      return this.#giveUp(new ChorusError(state.code, `The server is gone: ${state.reason}`));
    const seconds = Math.max(1, Math.round(state.delayMs / 1000));
    const message = `The connection to the server was lost (${state.reason}). Trying again in ${seconds} s.`;
    this.#update(this.#isPaused ? { message } : { phase: 'connecting', message });
  }

  #onAssign(assignment: Assignment): void {
    this.#task.abort();
    const task = new AbortController();
    this.#task = task;
    this.#take(assignment, task.signal).catch((thrown: unknown) => {
      if (!task.signal.aborted) this.#onFailed(assignment, toChorusError(thrown));
    });
  }

  /** The server may know a stage that this device can take. */
  #onFailed({ assignment, range }: Assignment, error: ChorusError): void {
    const { code, message } = error;
    // The thread is being replaced, and the assignment will come again.
    if (code === 'worker-lost' || code === 'device-lost') return;
    const why = error.own ?? 'loading it failed';
    const text = `Could not take ${describeRange(range)}: ${why}`;
    if (code === 'probe-failed' && this.#backend?.backend === 'webgpu' && this.#settings.backend === 'auto') {
      return this.#changeToWasm(why, text);
    }
    this.#update({ phase: 'idle', message: text, progress: null, error, ...this.#held });
    this.#tell({ type: 'failed', assignment, code, message: message.slice(0, 500) });
  }

  /** A graphics device that does not work has a processor beside it. */
  #changeToWasm(why: string, text = `${why.charAt(0).toUpperCase()}${why.slice(1)}.`): void {
    if (this.#sitting === null) return;
    this.#wanted = 'wasm';
    this.#whyProcessor = why;
    this.#backend = null;
    this.#letGo(new ChorusError('cancelled', 'the volunteer changes its backend'));
    const phase = this.#isPaused ? 'paused' : 'loading';
    this.#update({ phase, message: `${text} Trying without WebGPU.`, progress: null, backend: null });
    void this.#startWorker(this.#sitting.signal);
  }

  async #take(assignment: Assignment, signal: AbortSignal): Promise<void> {
    const held = this.#holding;
    const { slots } = this.#settings;
    if (held !== null && isSameStage(held, assignment) && held.slots === slots) return this.#serve(held, assignment);
    const { model, range } = assignment;
    const { identity, worker, control, verify, links, clock } = this.#deps;
    const authority = { serverKey: control.serverKey, verify };
    const runtimeVersion = this.#backend?.runtimeVersion ?? '';
    const before = held?.host.drain(DRAIN_TIMEOUT_MS, signal);
    const manifest = await fetchRunnableManifest(model, range, runtimeVersion, this.#deps, authority, signal);
    const message = `Downloading ${describeRange(range)} of ${manifest.name}.`;
    const served = { name: manifest.name, digest: model };
    this.#update({ phase: 'downloading', message, model: served, range, error: null });
    const onProgress: WithBlobsDeps['onProgress'] = ({ doneBytes: done, totalBytes: total }) => {
      if (!signal.aborted) this.#update({ progress: { label: 'Layers', unit: 'bytes', done, total } });
    };
    const onDamaged = (pieces: number) => {
      if (!signal.aborted) this.#update({ phase: 'downloading', message: describeDamage(pieces), progress: null });
    };
    const watch = { onProgress, onDamaged, signal };
    const stage = await withStageBlobs(manifest, range, this.#deps, watch, async (blobs) => {
      await before;
      signal.throwIfAborted();
      this.#letGo(new ChorusError('cancelled', 'the volunteer was given another stage'));
      const label = `Loading ${describeRange(range)} of ${manifest.name}.`;
      this.#update({ phase: 'loading', message: label, progress: null });
      return worker.load({ manifest, range, blobs, probe: true, maxSessions: slots }, signal);
    });
    signal.throwIfAborted();
    this.#adopt(stage);
    const compute = measuredCompute(worker.compute, range.end - range.start, stage.layerMs);
    const host = new ReplicaHost({
      identity,
      config: { loaded: { model, range, manifest }, slots, backend: stage },
      authority,
      links,
      ...{ compute, clock, random: this.#deps.random },
      tell: (message) => this.#tell(message),
      onActivity: () => this.#onActivity(),
    });
    this.#serve({ name: manifest.name, model, range, stage, slots, compute, host }, assignment);
  }

  /** The thread may have chosen another backend for a stage than it started with. */
  #adopt({ backend, runtimeVersion, fallbackReason, isDeviceFaulty, numericClass }: LoadedStage): void {
    this.#backend = { backend, runtimeVersion, fallbackReason, isDeviceFaulty, numericClass };
    this.#update({ backend: this.#backend });
  }

  #serve(holding: Holding, { assignment }: Assignment): void {
    this.#holding = holding;
    const { stage, range, host } = holding;
    host.isAccepting = true;
    const { numericClass, probeError } = stage;
    this.#tell({
      type: 'ready',
      assignment,
      layerMs: this.#layerMs ?? 0,
      probeError: probeError ?? 0,
      ...(numericClass !== this.#toldClass && { numericClass }),
    });
    this.#toldClass = numericClass;
    this.#update({
      phase: 'serving',
      message: `Serving ${describeRange(range)}.`,
      progress: null,
      ...this.#held,
      memoryBytes: stage.memoryBytes,
      probeError: stage.probeError,
      error: null,
    });
  }

  /** Ends the host and its stage; its sessions fail over with `error`. */
  #letGo(error: ChorusError): void {
    if (this.#holding === null) return;
    const { host } = this.#holding;
    this.#holding = null;
    host.stop(error);
    this.#countsBefore = addCounts(this.#countsBefore, host.counts);
    this.#update({ sessions: 0, memoryBytes: 0, ...doneOf(this.#counts) });
  }

  #onWorkerLost(error: ChorusError): void {
    const { clock } = this.#deps;
    const sitting = this.#sitting;
    if (sitting === null) return;
    const wasServing = this.#holding !== null;
    this.#task.abort();
    this.#letGo(error);
    this.#tell({ type: 'pause' });
    const nowMs = clock.nowMs();
    this.#restartsMs = [...this.#restartsMs.filter((atMs) => nowMs - atMs < RESTART_WINDOW_MS), nowMs];
    const faultOfDevice = this.#wanted === 'auto' ? this.#faultOfDevice(error, wasServing) : null;
    if (faultOfDevice !== null) return this.#changeToWasm(faultOfDevice);
    const reason = error.own ?? 'the browser ended it';
    if (this.#restartsMs.length > MAX_RESTARTS) {
      const text = `The compute thread was lost again and again: ${reason}`;
      return this.#giveUp(new ChorusError(error.code, text, error.details, error.raw));
    }
    const message = `The compute thread was lost (${reason}); it is being replaced.`;
    this.#update({ phase: this.#isPaused ? 'paused' : 'loading', message, progress: null, backend: null });
    this.#backend = null;
    void this.#startWorker(sitting.signal);
  }

  /** Why a loss of the thread is the end of its graphics device; null where it had none, or it may be tried again. */
  #faultOfDevice({ code }: ChorusError, wasServing: boolean): string | null {
    if (code !== 'device-lost') {
      return this.#backend?.backend === 'webgpu' ? 'the graphics device did not answer any more' : null;
    }
    if (!wasServing) return 'the graphics device was lost before it could work';
    // An update of its driver takes any device away once.
    return this.#restartsMs.length > 1 ? 'the graphics device was lost again and again' : null;
  }

  #giveUp(error: ChorusError): void {
    this.#turnOff({ phase: 'failed', message: error.own ?? 'This device cannot run the model.', error });
  }

  #onActivity(): void {
    const sessions = this.#holding?.host.sessionCount ?? 0;
    if (sessions === this.#state.sessions) return;
    this.#update({ sessions });
    this.#states.say(sessions, this.#settings.slots);
  }

  get #held(): Pick<VolunteerState, 'model' | 'range'> {
    const held = this.#holding;
    return { model: held && { name: held.name, digest: held.model }, range: held?.range ?? null };
  }

  /** Milliseconds a layer takes for one token, the pauses after it included; null without a stage. */
  get #layerMs(): number | null {
    return this.#holding && this.#holding.compute.layerMs / this.#settings.dutyShare;
  }

  get #counts(): ReplicaCounts {
    return this.#holding === null ? this.#countsBefore : addCounts(this.#countsBefore, this.#holding.host.counts);
  }

  #tick(): void {
    this.#history.addSecond(this.#deps.clock.wallMs(), this.#counts.positions);
    const { tokensPerSecond, seconds } = this.#history;
    this.#update({ ...doneOf(this.#counts), tokensPerSecond, history: seconds });
  }

  #heartbeat(): void {
    const { sessions, phase } = this.#state;
    this.#states.say(sessions, this.#settings.slots);
    this.#tell({
      type: 'heartbeat',
      sessions,
      ...{ tokens: this.#counts.positions, layerMs: this.#layerMs, hidden: this.#settings.isHidden() },
      ...((phase === 'downloading' || phase === 'loading') && { loadSteps: this.#loadSteps }),
    });
  }

  /** Sends a message if it can be sent: the offer that follows when the server is back says the same. */
  #tell(message: PeerControlMessage): void {
    const { control } = this.#deps;
    if (control.state.type !== 'open') return;
    try {
      control.send(message);
    } catch {
      // The connection ended this moment; its state says so.
    }
  }

  #update(change: Partial<VolunteerState>): void {
    if (change.progress) this.#loadSteps += 1;
    this.#state = { ...this.#state, ...change };
    this.#listeners.notify();
  }
}
