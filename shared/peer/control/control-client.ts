import { backoffMs } from '../../backoff.ts';
import { ChorusError, toChorusError, type ErrorCode } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { HEARTBEAT_TIMEOUT_MS, MAX_CONTROL_MESSAGE_BYTES } from '../../limits.ts';
import { Listeners } from '../../listeners.ts';
import type { PeerControlMessage, ServerMessage } from '../../wire/control-message.ts';
import { RelayMux } from '../link/relay-channel.ts';
import {
  openConnection,
  parseServerMessage,
  type ControlConnection,
  type ControlDeps,
  type Welcome,
} from './control-connection.ts';
import type { Socket } from './socket.ts';

const RETRY = { firstMs: 500, maxMs: 30_000 };
/** A connection that held this long was a good one: the next loss starts with a short delay again. */
const STEADY_MS = 10_000;
/** Errors that trying again will not cure. */
const FATAL: readonly ErrorCode[] = ['protocol-version', 'wrong-peer', 'bad-signature', 'replaced'];

type ServerEvent = Exclude<ServerMessage, { type: 'challenge' | 'welcome' | 'alive' }>;

export type ControlState =
  | { readonly type: 'open' }
  | { readonly type: 'reconnecting'; readonly attempt: number; readonly delayMs: number; readonly reason: string }
  | { readonly type: 'closed'; readonly code: ErrorCode; readonly reason: string };

export interface ControlClient {
  readonly id: PeerId;
  /** Of the present connection, or the last one. */
  readonly welcome: Welcome;
  /** Raw Ed25519 key that the server has proved; routes and manifests are checked against it. */
  readonly serverKey: Uint8Array<ArrayBuffer>;
  readonly state: ControlState;
  readonly relay: RelayMux;
  /** Throws `server-lost` while there is no connection, `too-large` above the limit of one message. */
  send(message: PeerControlMessage): void;
  onMessage(listener: (message: ServerEvent) => void): () => void;
  /** `open` again means that the server knows nothing of what was said before. */
  onState(listener: (state: ControlState) => void): () => void;
  close(): void;
}

/**
 * Connects and proves both keys. Rejects if that fails the first time: `server-lost`, `timeout`, `wrong-peer` (another
 * server key than expected), `bad-signature`, `protocol-version`, `cancelled`, or what the server answered. Later
 * losses are mended by reconnecting, with growing delays, until `close`.
 */
export async function connectControl(deps: ControlDeps): Promise<ControlClient> {
  const connection = await openConnection(deps, deps.expectedServerKey);
  return new ReconnectingClient(deps, connection);
}

class ReconnectingClient implements ControlClient {
  readonly id: PeerId;
  readonly serverKey: Uint8Array<ArrayBuffer>;
  readonly relay: RelayMux;
  readonly #deps: ControlDeps;
  readonly #messageListeners = new Listeners<[ServerEvent]>();
  readonly #stateListeners = new Listeners<[ControlState]>();
  #welcome: Welcome;
  #socket: Socket | null = null;
  #state: ControlState = { type: 'open' };
  #attempt = 0;
  #connectedAtMs = 0;
  #receivedAtMs = 0;
  /** Of the wait for a sign of life, or for the next attempt: there is never more than one. */
  #stopTimer: () => void = () => {};

  constructor(deps: ControlDeps, connection: ControlConnection) {
    this.#deps = deps;
    this.id = deps.identity.id;
    this.serverKey = connection.serverKey;
    this.#welcome = connection.welcome;
    this.relay = new RelayMux(this.id, (frame) => this.#openSocket().send(frame));
    deps.signal.addEventListener('abort', () => this.close(), { once: true });
    this.#use(connection);
  }

  get welcome(): Welcome {
    return this.#welcome;
  }

  get state(): ControlState {
    return this.#state;
  }

  send(message: PeerControlMessage): void {
    const text = JSON.stringify(message);
    if (text.length > MAX_CONTROL_MESSAGE_BYTES) throw new ChorusError('too-large', 'control message above the limit');
    this.#openSocket().send(text);
  }

  onMessage(listener: (message: ServerEvent) => void): () => void {
    return this.#messageListeners.add(listener);
  }

  onState(listener: (state: ControlState) => void): () => void {
    return this.#stateListeners.add(listener);
  }

  close(): void {
    this.#end('cancelled', 'closed by this side');
  }

  #openSocket(): Socket {
    if (!this.#socket) throw new ChorusError('server-lost', 'there is no connection to the server now');
    return this.#socket;
  }

  #use(connection: ControlConnection): void {
    this.#welcome = connection.welcome;
    this.#socket = connection.socket;
    this.#connectedAtMs = this.#deps.clock.nowMs();
    this.#receivedAtMs = this.#connectedAtMs;
    this.#watch(connection.socket);
    this.#setState({ type: 'open' });
    connection.handOver({
      onMessage: (message) => this.#receive(connection.socket, message),
      onClose: (reason) => this.#lose(connection.socket, new ChorusError('server-lost', reason)),
    });
  }

  /** A network that drops without a word closes no socket; the server's silence tells. */
  #watch(socket: Socket): void {
    const { clock } = this.#deps;
    const limitMs = Math.max(HEARTBEAT_TIMEOUT_MS, 4 * this.#welcome.heartbeatMs);
    this.#stopTimer = clock.setTimer(
      () => {
        if (clock.nowMs() - this.#receivedAtMs < limitMs) this.#watch(socket);
        else this.#lose(socket, new ChorusError('server-lost', 'the server has gone silent'));
      },
      limitMs - (clock.nowMs() - this.#receivedAtMs),
    );
  }

  #receive(socket: Socket, message: string | Uint8Array<ArrayBuffer>): void {
    if (socket !== this.#socket) return;
    this.#receivedAtMs = this.#deps.clock.nowMs();
    try {
      if (typeof message !== 'string') return this.relay.receive(message);
      const parsed = parseServerMessage(message);
      if (parsed.type === 'challenge' || parsed.type === 'welcome') {
        throw new ChorusError('bad-message', `a ${parsed.type} after the welcome`);
      }
      if (parsed.type === 'alive') return this.#showLife(parsed.serverTimeMs);
      if (parsed.type === 'error') return this.#lose(socket, new ChorusError(parsed.code, parsed.message));
      this.#messageListeners.notify(parsed);
    } catch (thrown) {
      this.#lose(socket, toChorusError(thrown));
    }
  }

  /** Says that code runs here, which an open socket does not. */
  #showLife(serverTimeMs: number): void {
    this.#deps.clock.hear(serverTimeMs);
    try {
      this.send({ type: 'alive' });
    } catch {
      // The server has closed the connection meanwhile, and what it said of that follows.
    }
  }

  #lose(socket: Socket, error: ChorusError): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#stopTimer();
    socket.close();
    this.relay.closeAll('the connection to the server is lost');
    if (this.#deps.clock.nowMs() - this.#connectedAtMs >= STEADY_MS) this.#attempt = 0;
    this.#retry(error);
  }

  #retry(error: ChorusError): void {
    if (this.#state.type === 'closed') return;
    if (FATAL.includes(error.code)) return this.#end(error.code, error.message);
    this.#attempt++;
    const delayMs = backoffMs(this.#attempt, { ...RETRY, random: this.#deps.random });
    this.#setState({ type: 'reconnecting', attempt: this.#attempt, delayMs, reason: error.message });
    this.#stopTimer = this.#deps.clock.setTimer(() => {
      openConnection(this.#deps, this.serverKey).then(
        (connection) => {
          if (this.#state.type === 'closed') connection.socket.close();
          else this.#use(connection);
        },
        (thrown: unknown) => this.#retry(toChorusError(thrown, 'server-lost')),
      );
    }, delayMs);
  }

  #end(code: ErrorCode, reason: string): void {
    if (this.#state.type === 'closed') return;
    this.#stopTimer();
    const socket = this.#socket;
    this.relay.closeAll(reason);
    this.#socket = null;
    socket?.close();
    this.#setState({ type: 'closed', code, reason });
  }

  #setState(state: ControlState): void {
    this.#state = state;
    this.#stateListeners.notify(state);
  }
}
