import type { Clock } from '../clock.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import { ChorusError, toChorusError } from '../errors.ts';
import type { Digest, PeerId, SessionId } from '../ids.ts';
import { CONNECT_TIMEOUT_MS } from '../limits.ts';
import type { Manifest } from '../model/manifest.ts';
import type { AnswerEvent, GenerateRequest, RouteLink } from '../session/answer-event.ts';
import { RequesterEngine, type RequesterEffect, type RequesterEvent } from '../session/requester-engine.ts';
import type { Envelope, Route } from '../session/route.ts';
import type { PeerControlMessage, ServerMessage } from '../wire/control-message.ts';
import type { PeerMessage } from '../wire/peer-message.ts';
import { abortAfter } from './abort-after.ts';
import type { ControlClient } from './control-client.ts';
import { EngineLoop } from './engine-loop.ts';
import { EventQueue } from './event-queue.ts';
import { LinkTable } from './link-table.ts';
import type { Links } from './link.ts';
import { openRoute } from './open-signed.ts';

export interface RequesterDeps {
  readonly control: Pick<ControlClient, 'id' | 'serverKey' | 'state' | 'send' | 'onMessage' | 'onState'>;
  readonly links: Links;
  readonly clock: Clock;
  readonly verify: VerifySignature;
  /** False where only the relay reaches this peer. */
  readonly webrtc: boolean;
}

export interface ConversationOptions {
  /** Shadows wished for each stage; 0 where left out. */
  readonly shadows?: number;
  /** Fewest stages; the model's own minimum where left out. */
  readonly minStages?: number;
}

export interface ServedModel {
  readonly manifest: Manifest;
  readonly digest: Digest;
}

/** What a conversation needs of the requester it belongs to. */
interface Switchboard {
  readonly deps: RequesterDeps;
  readonly links: LinkTable;
  readonly requests: Map<number, Conversation>;
  readonly sessions: Map<SessionId, Conversation>;
  nextRequest(): number;
  forget(conversation: Conversation): void;
  /** Says it to the server; false while there is none. */
  tell(message: PeerControlMessage): boolean;
}

/** Opens conversations with models that the network serves. */
export class Requester {
  readonly #conversations = new Set<Conversation>();
  readonly #board: Switchboard;
  readonly #stops: (() => void)[];
  #lastRequest = 0;

  constructor(deps: RequesterDeps) {
    const { control } = deps;
    const links = new LinkTable(deps.links, {
      onMessage: (from, message) => this.#onPeerMessage(from, message),
      onLost: (peer) => this.#conversations.forEach((each) => each.take({ type: 'link-lost', peer })),
    });
    this.#board = {
      deps,
      links,
      requests: new Map(),
      sessions: new Map(),
      nextRequest: () => ++this.#lastRequest,
      forget: (conversation) => this.#conversations.delete(conversation),
      tell: (message) => tell(control, message),
    };
    this.#stops = [
      control.onMessage((message) => this.#onServerMessage(message)),
      control.onState(() => this.#onServerState()),
      () => links.close(),
    ];
  }

  openConversation(model: ServedModel, options: ConversationOptions = {}): Conversation {
    const conversation = new Conversation(this.#board, model, options);
    this.#conversations.add(conversation);
    return conversation;
  }

  /** Closes every conversation. */
  close(): void {
    for (const conversation of [...this.#conversations]) conversation.close();
    for (const stop of this.#stops) stop();
  }

  #onPeerMessage(from: PeerId, message: PeerMessage): void {
    if (!('session' in message)) return;
    this.#board.sessions.get(message.session)?.take({ type: 'message', from, message });
  }

  #onServerMessage(message: ServerMessage): void {
    if (message.type === 'routed') return this.#onRouted(message.request, message.route);
    if (message.type !== 'queued' && message.type !== 'refused') return;
    const conversation = this.#board.requests.get(message.request);
    if (message.type === 'queued') return conversation?.take({ type: 'queued', position: message.position });
    this.#board.requests.delete(message.request);
    const { code, missing } = message;
    conversation?.take({ type: 'refused', error: new ChorusError(code, message.message, { missing }) });
  }

  #onRouted(request: number, envelope: Envelope): void {
    openRoute(envelope, { serverKey: this.#board.deps.control.serverKey, verify: this.#board.deps.verify }).then(
      (route) => {
        const conversation = this.#board.requests.get(request);
        if (conversation === undefined) return this.#giveBack(route);
        this.#board.requests.delete(request);
        conversation.take({ type: 'routed', route, envelope });
      },
      (error: unknown) => {
        this.#board.requests.get(request)?.take({ type: 'refused', error: toChorusError(error) });
        this.#board.requests.delete(request);
      },
    );
  }

  /** A route that came when nobody waited for it any more. */
  #giveBack({ session }: Route): void {
    this.#board.tell({ type: 'release', session, outcome: 'cancelled', tokens: 0, tokensPerSecond: null, faults: [] });
  }

  #onServerState(): void {
    const { state } = this.#board.deps.control;
    if (state.type === 'reconnecting') return;
    if (state.type === 'open') this.#board.tell({ type: 'resume', sessions: [...this.#board.sessions.keys()] });
    const waiting = new Set(this.#board.requests.values());
    this.#board.requests.clear();
    for (const conversation of waiting) {
      conversation.take(
        state.type === 'open' ? { type: 'server-back' } : { type: 'refused', error: serverLost(state.reason) },
      );
    }
  }
}

/** One chat: one session at a time, kept between answers so that only new tokens are sent. */
export class Conversation {
  readonly #board: Switchboard;
  readonly #model: ServedModel;
  readonly #options: ConversationOptions;
  readonly #engine: RequesterEngine;
  readonly #loop: EngineLoop<RequesterEvent, RequesterEffect>;
  readonly #abort = new AbortController();
  #request: number | null = null;
  #events: EventQueue<AnswerEvent> | null = null;

  /** For `Requester.openConversation`. */
  constructor(board: Switchboard, model: ServedModel, options: ConversationOptions) {
    this.#board = board;
    this.#model = model;
    this.#options = options;
    const { clock, control } = board.deps;
    this.#engine = new RequesterEngine({ self: control.id, model: model.digest, manifest: model.manifest });
    this.#loop = new EngineLoop(this.#engine, clock, { type: 'time' }, (effect) => this.#perform(effect));
  }

  /**
   * Makes one answer. `promptTokens` is the whole history: what the session holds of it already is not sent again.
   * Throws ChorusError, among them `too-long`, `unknown-model`, `no-coverage`, `too-few-volunteers`, `all-busy`,
   * `timeout`, `link-lost` and `server-lost`. An abort of `signal` ends it with reason `cancelled`; so does leaving the loop.
   */
  async *generate({
    signal,
    ...request
  }: GenerateRequest & { readonly signal: AbortSignal }): AsyncGenerator<AnswerEvent, void, undefined> {
    if (this.#abort.signal.aborted) throw new ChorusError('cancelled', 'the conversation is closed');
    if (this.#events !== null) throw new ChorusError('unsupported', 'a conversation makes one answer at a time');
    const events = new EventQueue<AnswerEvent>();
    this.#events = events;
    const cancel = () => this.#loop.dispatch({ type: 'cancel' });
    signal.addEventListener('abort', cancel);
    try {
      this.#loop.dispatch({ type: 'start', request });
      if (signal.aborted) cancel();
      for (;;) {
        const event = await events.next();
        yield event;
        if (event.type === 'end') return;
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      cancel();
      this.#events = null;
    }
  }

  /** Ends the answer being made, if any, and gives the session back. */
  close(): void {
    this.#loop.dispatch({ type: 'close' });
    this.#loop.stop();
    this.#abort.abort();
    this.#board.forget(this);
  }

  /** For the requester it belongs to. */
  take(event: RequesterEvent): void {
    this.#loop.dispatch(event);
  }

  #perform(effect: RequesterEffect): void {
    const { links, sessions } = this.#board;
    switch (effect.type) {
      case 'request-route':
        return this.#requestRoute(effect.capacity, effect.exclude);
      case 'abandon-route':
        return this.#abandonRoute();
      case 'connect':
        return this.#connect(effect);
      case 'send':
        return links.send(effect.to, effect.message);
      case 'release':
        sessions.delete(effect.release.session);
        // A server that is away learns from `resume` which sessions are left.
        this.#board.tell(effect.release);
        return;
      case 'announce':
        return this.#events?.push({ type: 'routed', route: effect.route, links: this.#linksOf(effect.route) });
      case 'emit':
        return this.#events?.push(effect.event);
      case 'fail':
        return this.#events?.fail(effect.error);
    }
  }

  #requestRoute(capacity: number, exclude: readonly PeerId[]): void {
    const board = this.#board;
    const { deps, requests } = board;
    if (this.#request !== null) requests.delete(this.#request);
    const request = board.nextRequest();
    this.#request = request;
    requests.set(request, this);
    const { manifest, digest } = this.#model;
    const { shadows = 0, minStages = manifest.minStages } = this.#options;
    const policy = { shadows, minStages: Math.max(minStages, manifest.minStages) };
    const { webrtc, control } = deps;
    board.tell({ type: 'route', request, model: digest, capacity, webrtc, policy, exclude: [...exclude] });
    // A server that is away for a moment is asked again when it is back.
    const { state } = control;
    if (state.type !== 'closed') return;
    requests.delete(request);
    this.#loop.dispatch({ type: 'refused', error: serverLost(state.reason) });
  }

  #abandonRoute(): void {
    if (this.#request === null || !this.#board.requests.delete(this.#request)) return;
    this.#board.tell({ type: 'abandon', request: this.#request });
  }

  #connect({ session, peer, webrtc }: Extract<RequesterEffect, { type: 'connect' }>): void {
    const { deps, links, sessions } = this.#board;
    sessions.set(session, this);
    const timeout = new ChorusError('timeout', 'the first volunteer cannot be reached');
    const limit = abortAfter(deps.clock, CONNECT_TIMEOUT_MS, timeout, this.#abort.signal);
    const finish = (event: RequesterEvent): void => {
      limit.clear();
      this.#loop.dispatch(event);
    };
    links.connect(peer, webrtc && deps.webrtc, limit.signal).then(
      () => finish({ type: 'connected', session }),
      (error: unknown) => finish({ type: 'connect-failed', session, error: toChorusError(error, 'link-lost') }),
    );
  }

  #linksOf({ stages }: Route): RouteLink[] {
    const ends = [...new Set([0, stages.length - 1])];
    return ends.flatMap((stage) => {
      const link = this.#board.links.linkTo(stages[stage]!.primary.id);
      return link === undefined ? [] : [{ stage, transport: link.transport, roundTripMs: link.roundTripMs }];
    });
  }
}

function tell(control: RequesterDeps['control'], message: PeerControlMessage): boolean {
  if (control.state.type !== 'open') return false;
  try {
    control.send(message);
    return true;
  } catch {
    return false;
  }
}

function serverLost(reason: string): ChorusError {
  return new ChorusError('server-lost', `The connection to the server has ended (${reason}). Reconnect and ask again.`);
}
