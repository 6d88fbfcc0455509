import { ChorusError, toChorusError } from '../errors.ts';
import type { Digest, PeerId, SessionId } from '../ids.ts';
import {
  EXCLUDE_MS,
  LAP_TIMEOUT_MS,
  MAX_REROUTES,
  OPEN_TIMEOUT_MS,
  PROMPT_WINDOW,
  ROUTE_TIMEOUT_MS,
} from '../limits.ts';
import type { Manifest } from '../model/manifest.ts';
import type { PeerControlMessage } from '../wire/control-message.ts';
import type { PeerMessage, RowsMessage } from '../wire/peer-message.ts';
import type { AnswerEvent, GenerateRequest } from './answer-event.ts';
import type { Now } from './replica-engine.ts';
import { RequesterSession } from './requester-session.ts';
import { checkRoute, type Envelope, type Route } from './route.ts';
import { sampleToken, type Sampling } from './sampler.ts';

export type Release = Extract<PeerControlMessage, { type: 'release' }>;
type Fault = Extract<PeerMessage, { type: 'fault' }>;

export type RequesterEvent =
  | { readonly type: 'start'; readonly request: GenerateRequest }
  /** Ends the answer; the session stays. */
  | { readonly type: 'cancel' }
  | { readonly type: 'close' }
  | { readonly type: 'queued'; readonly position: number }
  /** The envelope is the server's own and holds this route. */
  | { readonly type: 'routed'; readonly route: Route; readonly envelope: Envelope }
  | { readonly type: 'refused'; readonly error: ChorusError }
  /** The server forgot what was asked of it. */
  | { readonly type: 'server-back' }
  | { readonly type: 'connected'; readonly session: SessionId }
  | { readonly type: 'connect-failed'; readonly session: SessionId; readonly error: ChorusError }
  | { readonly type: 'message'; readonly from: PeerId; readonly message: PeerMessage }
  | { readonly type: 'link-lost'; readonly peer: PeerId }
  | { readonly type: 'time' };

export type RequesterEffect =
  /** Asks the server for a route; takes the place of any request before it. */
  | { readonly type: 'request-route'; readonly capacity: number; readonly exclude: readonly PeerId[] }
  | { readonly type: 'abandon-route' }
  | { readonly type: 'connect'; readonly session: SessionId; readonly peer: PeerId; readonly webrtc: boolean }
  | { readonly type: 'send'; readonly to: PeerId; readonly message: PeerMessage }
  | { readonly type: 'release'; readonly release: Release }
  /** Every stage is open: the `routed` event, for the driver to add what it knows of the links. */
  | { readonly type: 'announce'; readonly route: Route }
  | { readonly type: 'emit'; readonly event: AnswerEvent }
  | { readonly type: 'fail'; readonly error: ChorusError };

export interface RequesterConfig {
  readonly self: PeerId;
  readonly model: Digest;
  readonly manifest: Manifest;
}

interface Answer {
  /** Prompt and answer so far. */
  readonly history: number[];
  readonly promptLength: number;
  readonly maxNewTokens: number;
  readonly sampling: Sampling;
  reroutes: number;
}

/** A route this close to its end is not begun with. */
const LEASE_MARGIN_MS = 10_000;
const MIN_CAPACITY = 512;
/** Refusals that may come from who was excluded. */
const SCARCE = new Set(['no-coverage', 'too-few-volunteers', 'all-busy']);

/**
 * One conversation as a state machine: `handle` takes an event and says what to do. It keeps the tokens its session
 * holds, cuts these back to what a new prompt shares with them, sends the rest in chunks, then samples a token each lap.
 * If a volunteer fails it asks for a route without that one, replays every token and goes on where it was.
 */
export class RequesterEngine {
  readonly #config: RequesterConfig;
  readonly #excluded = new Map<PeerId, number>();
  #effects: RequesterEffect[] = [];
  #now: Now = { nowMs: 0, wallMs: 0 };
  #answer: Answer | null = null;
  #session: RequesterSession | null = null;
  #routeByMs = Infinity;

  constructor(config: RequesterConfig) {
    this.#config = config;
  }

  get isAnswering(): boolean {
    return this.#answer !== null;
  }

  /** When a `time` event is due, on the clock of `nowMs`; Infinity with nothing to wait for. */
  get deadlineMs(): number {
    return Math.min(this.#routeByMs, this.#session?.deadlineMs ?? Infinity);
  }

  handle(event: RequesterEvent, now: Now): RequesterEffect[] {
    this.#now = now;
    this.#effects = [];
    this.#dispatch(event);
    return this.#effects;
  }

  #dispatch(event: RequesterEvent): void {
    switch (event.type) {
      case 'start':
        return this.#start(event.request);
      case 'cancel':
        return this.#cancel();
      case 'close':
        return this.#close();
      case 'queued':
        if (this.#routeByMs === Infinity) return;
        this.#routeByMs = this.#now.nowMs + ROUTE_TIMEOUT_MS;
        return this.#emit({ type: 'queued', position: event.position });
      case 'routed':
        return this.#onRouted(event.route, event.envelope);
      case 'refused':
        return this.#onRefused(event.error);
      case 'server-back':
        if (this.#routeByMs !== Infinity) this.#requestRoute();
        return;
      case 'connected':
      case 'connect-failed':
        if (this.#session?.id === event.session && this.#session.step === 'connecting') this.#onConnected(event);
        return;
      case 'message':
        return this.#onMessage(event.from, event.message);
      case 'link-lost':
        return this.#onLinkLost(event.peer);
      case 'time':
        return this.#onTime();
    }
  }

  #start({ promptTokens, maxNewTokens, sampling }: GenerateRequest): void {
    const { maxPositions } = this.#config.manifest.config;
    if (this.#answer !== null) return;
    if (promptTokens.length === 0) return this.#fail(new ChorusError('bad-message', 'the prompt is empty'));
    if (promptTokens.length >= maxPositions) {
      const text = `the prompt has ${promptTokens.length} tokens; this model takes fewer than ${maxPositions}`;
      return this.#fail(new ChorusError('too-long', text));
    }
    this.#answer = {
      history: [...promptTokens],
      promptLength: promptTokens.length,
      maxNewTokens: Math.min(maxNewTokens, maxPositions - promptTokens.length),
      sampling,
      reroutes: 0,
    };
    if (this.#session === null) return this.#requestRoute();
    if (this.#isUsable(this.#session)) return this.#align(this.#session);
    this.#renew(this.#session);
  }

  #isUsable(session: RequesterSession): boolean {
    return session.route.capacity >= this.#neededPositions() && this.#now.nowMs < session.leaseEndMs - LEASE_MARGIN_MS;
  }

  #neededPositions(): number {
    return this.#answer === null ? 0 : this.#answer.promptLength + this.#answer.maxNewTokens;
  }

  /** Grows by doubling, so that a chat seldom needs another session and short ones take little memory. */
  #capacity(): number {
    let capacity = MIN_CAPACITY;
    while (capacity < this.#neededPositions()) capacity *= 2;
    return Math.min(capacity, this.#config.manifest.config.maxPositions);
  }

  #requestRoute(): void {
    const { nowMs } = this.#now;
    this.#routeByMs = nowMs + ROUTE_TIMEOUT_MS;
    for (const [peer, untilMs] of this.#excluded) if (untilMs <= nowMs) this.#excluded.delete(peer);
    // No peer has a link to itself.
    const exclude = [this.#config.self, ...this.#excluded.keys()].slice(0, 64);
    this.#effects.push({ type: 'request-route', capacity: this.#capacity(), exclude });
  }

  #onRouted(route: Route, envelope: Envelope): void {
    if (this.#routeByMs === Infinity) return;
    this.#routeByMs = Infinity;
    try {
      checkRoute(route, this.#config.self, this.#config.model, this.#config.manifest.config.layers);
      if (route.capacity < this.#neededPositions()) throw new ChorusError('too-long', 'the route is too short');
    } catch (error) {
      return this.#fail(toChorusError(error));
    }
    const session = new RequesterSession(route, envelope, this.#now.nowMs);
    this.#session = session;
    const { id: peer, webrtc } = route.stages[0]!.primary;
    this.#effects.push({ type: 'connect', session: session.id, peer, webrtc });
  }

  #onRefused(error: ChorusError): void {
    if (this.#routeByMs === Infinity) return;
    this.#routeByMs = Infinity;
    if (this.#excluded.size === 0 || !SCARCE.has(error.code)) return this.#fail(error);
    // Better those who failed once than nobody.
    this.#excluded.clear();
    this.#requestRoute();
  }

  #onConnected(event: Extract<RequesterEvent, { type: 'connected' | 'connect-failed' }>): void {
    const session = this.#session!;
    if (event.type === 'connect-failed') return this.#reroute(session, event.error, [session.first]);
    session.toOpening(this.#now.nowMs);
    this.#send(session, { type: 'open', session: session.id, stage: 0, route: session.envelope });
  }

  #onMessage(from: PeerId, message: PeerMessage): void {
    const session = this.#session;
    if (session === null || !('session' in message) || message.session !== session.id) return;
    if (message.type === 'fault' && from === session.first) return this.#onFault(session, message);
    if (from !== session.last) return;
    if (message.type === 'ready' && session.step === 'opening') {
      session.toOpen();
      this.#effects.push({ type: 'announce', route: session.route });
      this.#align(session);
    }
    if (message.type === 'rows' && message.rows.kind === 'logits') this.#onLogits(session, message);
  }

  #onFault(session: RequesterSession, fault: Fault): void {
    const { stages } = session.route;
    const named = stages.find((stage) => stage.primary.id === fault.volunteer)?.primary.id;
    const isEndOfLease = fault.code === 'timeout' && fault.volunteer === null;
    const blamed = isEndOfLease ? [] : [named ?? stages[fault.stage]?.primary.id ?? session.first];
    this.#reroute(session, new ChorusError(fault.code, fault.message), blamed);
  }

  #onLinkLost(peer: PeerId): void {
    const session = this.#session;
    if (session === null || session.step === 'connecting') return;
    if (peer !== session.first && peer !== session.last) return;
    this.#reroute(session, new ChorusError('link-lost', 'the connection to a volunteer was lost'), [peer]);
  }

  #onTime(): void {
    const { nowMs } = this.#now;
    if (nowMs >= this.#routeByMs) {
      this.#routeByMs = Infinity;
      this.#effects.push({ type: 'abandon-route' });
      return this.#fail(new ChorusError('timeout', 'the network has no free volunteers; try again in a while'));
    }
    const session = this.#session;
    if (session === null || nowMs < session.deadlineMs) return;
    if (this.#answer === null) return this.#drop(session, 'done');
    // Nobody told who is stuck, so all of them are left out.
    const everyone = session.route.stages.map((stage) => stage.primary.id);
    const seconds = (session.step === 'open' ? LAP_TIMEOUT_MS : OPEN_TIMEOUT_MS) / 1000;
    this.#reroute(session, new ChorusError('timeout', `no volunteer answered for ${seconds} s`), everyone);
  }

  /** Cuts the session back to what it shares with the history, then sends the rest. */
  #align(session: RequesterSession): void {
    const answer = this.#answer;
    if (answer === null) return;
    const cut = session.align(answer.history, this.#now.nowMs);
    if (cut !== null) this.#send(session, cut);
    this.#feed(session, answer);
  }

  #feed(session: RequesterSession, answer: Answer): void {
    for (const rows of session.nextRows(answer.history, PROMPT_WINDOW, this.#now.nowMs)) this.#send(session, rows);
  }

  #onLogits(session: RequesterSession, message: RowsMessage): void {
    const { vocabularySize } = this.#config.manifest.config;
    try {
      const lap = session.take(message, vocabularySize, this.#now.nowMs);
      const answer = this.#answer;
      if (answer === null) return;
      if (lap === null) return this.#feed(session, answer);
      if (lap.prompt !== null) this.#emit({ type: 'prompt', ...lap.prompt });
      if (lap.candidates === null) return this.#feed(session, answer);
      const position = answer.history.length;
      const { token, logprob } = sampleToken(lap.candidates, answer.sampling, position);
      if (this.#config.manifest.config.endTokens.includes(token)) return this.#finish(session, answer, 'stop');
      answer.history.push(token);
      session.countToken(lap.lapMs);
      this.#emit({ type: 'token', token, logprob, position, lapMs: lap.lapMs, hops: message.hops });
      if (position + 1 - answer.promptLength >= answer.maxNewTokens) return this.#finish(session, answer, 'length');
      if (this.#now.nowMs >= session.leaseEndMs - LEASE_MARGIN_MS) return this.#renew(session);
      this.#feed(session, answer);
    } catch (error) {
      this.#reroute(session, toChorusError(error), [session.last]);
    }
  }

  #finish(session: RequesterSession | null, answer: Answer, reason: 'stop' | 'length' | 'cancelled'): void {
    this.#answer = null;
    session?.rest(this.#now.nowMs);
    const { history, promptLength } = answer;
    const usage = { promptTokens: promptLength, completionTokens: history.length - promptLength };
    this.#emit({ type: 'end', reason, usage });
  }

  #cancel(): void {
    const answer = this.#answer;
    if (answer === null) return;
    this.#stopRouting();
    if (this.#session !== null && this.#session.step !== 'open') this.#drop(this.#session, 'cancelled');
    this.#finish(this.#session, answer, 'cancelled');
  }

  #close(): void {
    this.#cancel();
    this.#stopRouting();
    if (this.#session !== null) this.#drop(this.#session, 'done');
  }

  #stopRouting(): void {
    if (this.#routeByMs === Infinity) return;
    this.#routeByMs = Infinity;
    this.#effects.push({ type: 'abandon-route' });
  }

  /** Another session in place of one that nobody failed. */
  #renew(session: RequesterSession): void {
    this.#drop(session, 'done');
    this.#requestRoute();
  }

  #reroute(session: RequesterSession, error: ChorusError, blamed: readonly PeerId[]): void {
    const answer = this.#answer;
    // A time out that nobody is known for is no volunteer's fault on record.
    const faults = blamed.length === 1 ? [{ volunteer: blamed[0]!, code: error.code }] : [];
    this.#drop(session, answer === null ? 'done' : 'failed', faults);
    for (const peer of blamed) this.#excluded.set(peer, this.#now.nowMs + EXCLUDE_MS);
    if (answer === null) return;
    answer.reroutes += 1;
    if (answer.reroutes > MAX_REROUTES) return this.#fail(error);
    this.#emit({ type: 'rerouted', reason: error.message, volunteer: faults[0]?.volunteer ?? null });
    this.#requestRoute();
  }

  #drop(session: RequesterSession, outcome: Release['outcome'], faults: Release['faults'] = []): void {
    this.#session = null;
    if (session.step !== 'connecting') {
      this.#send(session, { type: 'close', session: session.id, reason: outcome });
    }
    this.#effects.push({ type: 'release', release: session.release(outcome, faults) });
  }

  #fail(error: ChorusError): void {
    this.#answer = null;
    this.#effects.push({ type: 'fail', error });
  }

  #send(session: RequesterSession, message: PeerMessage): void {
    this.#effects.push({ type: 'send', to: session.first, message });
  }

  #emit(event: AnswerEvent): void {
    this.#effects.push({ type: 'emit', event });
  }
}
