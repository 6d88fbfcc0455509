import type { Envelope } from '../../crypto/envelope.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { releaseMessage } from '../../requester/route-release.ts';
import { openRoute } from '../../route/open-signed.ts';
import type { Route } from '../../route/route.ts';
import type { PeerControlMessage, ServerMessage } from '../../wire/control-message.ts';
import { sessionOf, type PeerMessage } from '../../wire/peer-message.ts';
import { checkAsked } from '../../draw/asked-draw.ts';
import { DrawAsker } from './draw-asker.ts';
import { LinkTable } from '../link/link-table.ts';
import {
  Conversation,
  serverLost,
  type ConversationOptions,
  type Request,
  type RequesterDeps,
  type ServedModel,
  type Switchboard,
} from './conversation.ts';

export type { Conversation, ConversationOptions, RequesterDeps, ServedModel } from './conversation.ts';

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
      draws: deps.asksDraws === true ? new DrawAsker(deps) : null,
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
    const session = sessionOf(message);
    if (session !== null) this.#board.sessions.get(session)?.take({ type: 'message', from, message });
  }

  #onServerMessage(message: ServerMessage): void {
    if (message.type === 'routed') return this.#onRouted(message.request, message.route);
    if (message.type === 'queued') {
      const { request, position } = message;
      return this.#board.requests.get(request)?.conversation.take({ type: 'queued', position });
    }
    if (message.type === 'checkpoint') return this.#board.draws?.take(message);
    if (message.type === 'reclaim') return this.#board.sessions.get(message.session)?.giveBack();
    if (message.type !== 'refused' && message.type !== 'reported') return;
    const request = this.#take(message.request);
    if (request === undefined) return;
    const { conversation, ticket, lost } = request;
    if (message.type === 'reported') {
      if (ticket !== null) conversation.take({ type: 'reported', ticket, isAccepted: message.accepted });
      return;
    }
    const { code, missing } = message;
    conversation.take(lost(new ChorusError(code, message.message, { missing })));
  }

  #onRouted(number: number, envelope: Envelope): void {
    openRoute(envelope, { serverKey: this.#board.deps.control.serverKey, verify: this.#board.deps.verify }).then(
      (route) => {
        const request = this.#take(number);
        if (request === undefined) return this.#giveBack(route);
        const { conversation, ticket } = request;
        const { draw, exclude } = request.asked ?? { draw: null, exclude: [] };
        try {
          checkAsked(route.draw, draw, exclude);
        } catch (error) {
          this.#giveBack(route);
          return conversation.take(request.lost(toChorusError(error)));
        }
        if (ticket === null) conversation.take({ type: 'routed', route, envelope });
        else conversation.take({ type: 'replay-routed', ticket, route, envelope });
      },
      (error: unknown) => {
        const request = this.#take(number);
        request?.conversation.take(request.lost(toChorusError(error)));
      },
    );
  }

  #take(number: number): Request | undefined {
    const request = this.#board.requests.get(number);
    this.#board.requests.delete(number);
    return request;
  }

  /** Gives back a route that nobody waits for any more. */
  #giveBack({ session }: Route): void {
    this.#board.tell(releaseMessage(session, 'cancelled'));
  }

  #onServerState(): void {
    const { state } = this.#board.deps.control;
    this.#board.draws?.forget();
    if (state.type === 'reconnecting') return;
    if (state.type === 'open') this.#board.tell({ type: 'resume', sessions: [...this.#board.sessions.keys()] });
    const waiting = [...this.#board.requests.values()];
    this.#board.requests.clear();
    const error = serverLost(state.type === 'open' ? 'it had to be made anew' : state.reason);
    for (const { conversation, ticket, lost } of waiting) {
      const isAskedAgain = state.type === 'open' && ticket === null;
      conversation.take(isAskedAgain ? { type: 'server-back' } : lost(error));
    }
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
