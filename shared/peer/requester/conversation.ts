import type { Clock, RandomBytes } from '../../clock.ts';
import type { Identity, VerifySignature } from '../../crypto/identity.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { SignedDrawRequest } from '../../draw/draw-form.ts';
import type { Digest, PeerId, SessionId } from '../../ids.ts';
import { CONNECT_TIMEOUT_MS } from '../../limits.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { AnswerEvent, GenerateRequest, RouteLink } from '../../requester/answer-event.ts';
import { RequesterEngine } from '../../requester/engine/requester-engine.ts';
import type { RequesterEffect, RequesterEvent, SessionEffect } from '../../requester/requester-event.ts';
import type { Route } from '../../route/route.ts';
import type { PeerControlMessage } from '../../wire/control-message.ts';
import { abortAfter } from '../abort-after.ts';
import type { ControlClient } from '../control/control-client.ts';
import { EngineLoop } from '../engine-loop.ts';
import { EventQueue } from '../event-queue.ts';
import type { DrawAsker } from './draw-asker.ts';
import type { LinkTable } from '../link/link-table.ts';
import type { Links } from '../link/link.ts';

export interface RequesterDeps {
  readonly control: Pick<ControlClient, 'id' | 'serverKey' | 'state' | 'send' | 'onMessage' | 'onState'>;
  readonly links: Links;
  /** The one that `control` has proved: its signature is on what it says in checks. */
  readonly identity: Identity;
  readonly clock: Clock;
  /** For the seeds of checks, which nobody may guess. */
  readonly random: RandomBytes;
  readonly verify: VerifySignature;
  /** False where only the relay reaches this peer. */
  readonly webrtc: boolean;
  /** True where requests ask for draws that can be repeated; left out, the server chooses. */
  readonly asksDraws?: boolean;
}

export interface ConversationOptions {
  /** Shadows wished for each stage; 1 where left out. With 0 nothing is checked. */
  readonly shadows?: number;
  /** Fewest stages; the model's own minimum where left out. */
  readonly minStages?: number;
}

export interface ServedModel {
  readonly manifest: Manifest;
  readonly digest: Digest;
}

const DEFAULT_SHADOWS = 1;

type WithoutNumber<Type> = Omit<Extract<PeerControlMessage, { type: Type }>, 'request'>;

/** A request to the server, and the conversation that made it. */
export interface Request {
  readonly conversation: Conversation;
  /** Null for the route of the conversation's own session. */
  readonly ticket: number | null;
  /** The draw that a route was asked for by, and who was to be left out. */
  readonly asked?: { readonly draw: SignedDrawRequest | null; readonly exclude: readonly PeerId[] };
  /** The event that stands for an answer that will not come. */
  readonly lost: (error: ChorusError) => RequesterEvent;
}

/** The requester as its conversations use it. */
export interface Switchboard {
  readonly deps: RequesterDeps;
  readonly links: LinkTable;
  readonly requests: Map<number, Request>;
  readonly sessions: Map<SessionId, Conversation>;
  /** Null where the server chooses. */
  readonly draws: DrawAsker | null;
  nextRequest(): number;
  forget(conversation: Conversation): void;
  /** Says it to the server; false while there is none. */
  tell(message: PeerControlMessage): boolean;
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
  /** The error that the wait for a route ended with, where the server was away by then. */
  #lost: ChorusError | null = null;
  #events: EventQueue<AnswerEvent> | null = null;
  /** True once an answer was given up before its end. */
  #isAbandoned = false;

  /** For `Requester.openConversation`. */
  constructor(board: Switchboard, model: ServedModel, options: ConversationOptions) {
    this.#board = board;
    this.#model = model;
    this.#options = options;
    const { clock, identity, random, verify } = board.deps;
    const { id: self, publicKey } = identity;
    const { digest, manifest } = model;
    const { shadows = DEFAULT_SHADOWS } = options;
    this.#engine = new RequesterEngine({ self, publicKey, model: digest, manifest, shadows, random });
    const perform = (effect: RequesterEffect): void => this.#perform(effect);
    this.#loop = new EngineLoop<RequesterEvent, RequesterEffect>(this.#engine, {
      ...{ clock, identity, verify, perform },
      timeEvent: { type: 'time' },
    });
  }

  /**
   * Makes one answer. `promptTokens` is the whole history: the part that the session already holds is not sent again.
   * Throws ChorusError, among them `too-long`, `unknown-model`, `no-coverage`, `too-few-volunteers`, `all-busy`,
   * `timeout`, `link-lost` and `server-lost`. An abort of `signal` ends it with reason `cancelled`; so does leaving the loop.
   */
  async *generate({
    signal,
    ...request
  }: GenerateRequest & { readonly signal: AbortSignal }): AsyncGenerator<AnswerEvent, void, undefined> {
    if (this.#abort.signal.aborted) throw new ChorusError('cancelled', 'the conversation is closed');
    if (this.#events !== null) throw new ChorusError('unsupported', 'an answer is under way; one at a time is made');
    const events = new EventQueue<AnswerEvent>();
    this.#events = events;
    this.#isAbandoned = true;
    const cancel = () => this.#loop.dispatch({ type: 'cancel' });
    signal.addEventListener('abort', cancel);
    try {
      this.#loop.dispatch({ type: 'start', request });
      if (signal.aborted) cancel();
      for (;;) {
        const event = await events.next().catch((error: unknown) => {
          this.#isAbandoned = false;
          throw error;
        });
        if (event.type === 'end') this.#isAbandoned = event.reason === 'cancelled';
        yield event;
        if (event.type === 'end') return;
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      cancel();
      this.#events = null;
    }
  }

  /** Gives the session back for which others wait, unless an answer is being made; the next answer takes another. */
  giveBack(): void {
    if (this.#events === null) this.#loop.dispatch({ type: 'close' });
  }

  /** Ends the answer being made, if any, and gives the session back. */
  close(): void {
    this.#loop.dispatch({ type: 'close', isAbandoned: this.#isAbandoned });
    this.#loop.stop();
    this.#abort.abort();
    const { requests } = this.#board;
    for (const [number, { conversation }] of requests) if (conversation === this) requests.delete(number);
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
        return this.#requestRoute(effect);
      case 'abandon-route':
        return this.#abandonRoute();
      case 'connect':
        return this.#connect(effect);
      case 'send':
        return links.send(effect.to, effect.message);
      case 'request-replay': {
        const { ticket, type: _type, exclude, ...wish } = effect;
        const message = { ...wish, type: 'replay' as const, exclude: [...exclude] };
        return this.#askOnce(ticket, message, (error) => ({ type: 'replay-refused', ticket, error }));
      }
      case 'report': {
        const { ticket, proof } = effect;
        return this.#askOnce(ticket, { type: 'report', proof }, () => ({
          type: 'reported',
          ticket,
          isAccepted: false,
        }));
      }
      case 'claims':
        this.#board.tell(effect.claims);
        return;
      case 'rest':
        this.#board.tell(effect.rest);
        return;
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
        return this.#events?.fail(this.#lost ?? effect.error);
    }
  }

  #requestRoute({ capacity, exclude, after }: Extract<RequesterEffect, { type: 'request-route' }>): void {
    const board = this.#board;
    const { deps, requests } = board;
    if (this.#request !== null) requests.delete(this.#request);
    const request = board.nextRequest();
    this.#request = request;
    this.#lost = null;
    requests.set(request, { conversation: this, ticket: null, lost: (error) => ({ type: 'refused', error }) });
    const { manifest, digest } = this.#model;
    const { shadows = DEFAULT_SHADOWS, minStages = manifest.minStages } = this.#options;
    const policy = { shadows, minStages: Math.max(minStages, manifest.minStages) };
    const { webrtc, control } = deps;
    const wish = { request, model: digest, capacity, webrtc, policy, exclude: [...exclude] };
    const message = { type: 'route' as const, ...wish, ...(after !== null && { after }) };
    if (board.draws === null) board.tell(message);
    else void this.#askDrawn(board.draws, request, message);
    // A server that is away for a moment is asked again when it is back.
    const { state } = control;
    if (state.type !== 'closed') return;
    requests.delete(request);
    this.#loop.dispatch({ type: 'refused', error: serverLost(state.reason) });
  }

  /** Asks for the route with a draw, unless it is no longer wanted by the time that this is signed. */
  async #askDrawn(
    draws: DrawAsker,
    request: number,
    message: Extract<PeerControlMessage, { type: 'route' }>,
  ): Promise<void> {
    const { model, capacity, policy, exclude } = message;
    const draw = await draws.ask({ model, capacity, shadows: policy.shadows }).catch(() => null);
    const { requests, tell } = this.#board;
    const waiting = requests.get(request);
    if (waiting === undefined) {
      // Its number is used: one that the log never had would look as if the server hid a draw.
      if (draw !== null && tell({ ...message, draw })) tell({ type: 'abandon', request });
      return;
    }
    if (draw === null) {
      tell(message);
      return;
    }
    const { publicKey: _key, ...asked } = draw;
    requests.set(request, { ...waiting, asked: { draw: asked, exclude } });
    tell({ ...message, draw });
  }

  #abandonRoute(): void {
    if (this.#request === null || !this.#board.requests.delete(this.#request)) return;
    const { state } = this.#board.deps.control;
    if (state.type === 'reconnecting') this.#lost = serverLost(state.reason);
    this.#board.tell({ type: 'abandon', request: this.#request });
  }

  /** Asks the server once: one that is away is not asked later. */
  #askOnce(ticket: number, message: WithoutNumber<'replay'> | WithoutNumber<'report'>, lost: Request['lost']): void {
    const board = this.#board;
    const request = board.nextRequest();
    board.requests.set(request, { conversation: this, ticket, lost });
    if (board.tell({ ...message, request })) return;
    board.requests.delete(request);
    this.#loop.dispatch(lost(serverLost('it is away')));
  }

  #connect({ session, peer, webrtc }: Extract<SessionEffect, { type: 'connect' }>): void {
    const { deps, links, sessions } = this.#board;
    sessions.set(session, this);
    const timeout = new ChorusError('timeout', 'a volunteer cannot be reached');
    const limit = abortAfter(deps.clock, CONNECT_TIMEOUT_MS, timeout, this.#abort.signal);
    const finish = (event: RequesterEvent): void => {
      limit.clear();
      this.#loop.dispatch(event);
    };
    links.connect(peer, webrtc && deps.webrtc, limit.signal).then(
      () => finish({ type: 'connected', session, peer }),
      (error: unknown) => finish({ type: 'connect-failed', session, peer, error: toChorusError(error, 'link-lost') }),
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

/** The error of a request to a server that is gone. */
export function serverLost(reason: string): ChorusError {
  return new ChorusError('server-lost', `The connection to the server has ended (${reason}). Reconnect and ask again.`);
}
