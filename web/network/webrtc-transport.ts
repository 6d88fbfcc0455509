import { Peer, type DataConnection } from 'peerjs';
import { backoffMs } from '#shared/backoff.ts';
import type { Clock } from '#shared/clock.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { peerIdSchema, type PeerId } from '#shared/ids.ts';
import { WEBRTC_TIMEOUT_MS } from '#shared/limits.ts';
import { Listeners } from '#shared/listeners.ts';
import type { ControlClient } from '#shared/peer/control/control-client.ts';
import type { Channel } from '#shared/peer/link/channel.ts';
import type { WebRtcTransport } from '#shared/peer/link/webrtc-transport.ts';
import { fenceIntroductions } from './introductions.ts';
import { openWebRtcChannel } from './webrtc-channel.ts';

/** Where the server mounts PeerJS. */
const PEER_PATH = '/peerjs';

export interface WebRtcTransportDeps {
  /** Its welcome holds the token and the ICE servers; a new welcome makes a new introduction. */
  readonly control: Pick<ControlClient, 'id' | 'welcome' | 'state' | 'onState'>;
  /** Of the signal server, such as `location.origin`. */
  readonly serverUrl: string;
  readonly clock: Clock;
}

/** Data channels by PeerJS, introduced by the signal server. */
export class PeerJsTransport implements WebRtcTransport {
  onIncoming: ((peer: PeerId, channel: Channel) => void) | null = null;
  readonly #deps: WebRtcTransportDeps;
  readonly #stopListening: () => void;
  /** Connections of each Peer that is still of use; all but the current one only wait for theirs to end. */
  readonly #connections = new Map<Peer, Set<DataConnection>>();
  readonly #dials = new Map<DataConnection, (error: ChorusError) => void>();
  #current: Peer | null = null;
  readonly #wakeDials = new Listeners();
  #unopened = 0;
  #attempt = 0;
  #stopTimer: () => void = () => {};
  #isClosed = false;

  constructor(deps: WebRtcTransportDeps) {
    this.#deps = deps;
    this.#stopListening = deps.control.onState((state) => {
      if (state.type === 'open') this.#introduce();
      else this.#retire();
    });
    if (deps.control.state.type === 'open') this.#introduce();
  }

  async connect(peer: PeerId, signal: AbortSignal): Promise<Channel> {
    const introducer = await this.#openPeer(signal);
    const connection = introducer.connect(peer, { serialization: 'raw', reliable: true });
    return new Promise((resolve, reject) => {
      // Closing makes PeerJS say that it is closed: the first reason is the one that tells.
      const fail = (error: ChorusError): void => {
        reject(error);
        this.#dials.delete(connection);
        signal.removeEventListener('abort', onAbort);
        connection.close();
        this.#forget(introducer, connection);
      };
      const onAbort = (): void => fail(new ChorusError('cancelled', 'no longer wanted'));
      signal.addEventListener('abort', onAbort);
      this.#dials.set(connection, fail);
      this.#remember(introducer, connection);
      connection.on('error', (error) => fail(new ChorusError('link-lost', `no direct connection (${error.type})`)));
      connection.on('close', () => fail(new ChorusError('link-lost', 'the direct connection closed')));
      connection.on('open', () => {
        this.#dials.delete(connection);
        openWebRtcChannel(connection).then(
          (channel) => {
            signal.removeEventListener('abort', onAbort);
            resolve(channel);
          },
          (error: unknown) => fail(toChorusError(error, 'link-lost')),
        );
      });
      if (signal.aborted) onAbort();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    this.#stopTimer();
    this.#current = null;
    this.#wakeDials.notify();
    for (const peer of [...this.#connections.keys()]) peer.destroy();
    this.#connections.clear();
  }

  /** Waits until the server has introduced this side. */
  async #openPeer(signal: AbortSignal): Promise<Peer> {
    for (;;) {
      if (signal.aborted) throw new ChorusError('cancelled', 'no longer wanted');
      if (this.#isClosed) throw new ChorusError('link-lost', 'this side has left');
      if (this.#current?.open) return this.#current;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          remove();
          signal.removeEventListener('abort', wake);
          resolve();
        };
        const remove = this.#wakeDials.add(wake);
        signal.addEventListener('abort', wake);
      });
    }
  }

  /** A new Peer under the same id. PeerJS's own reconnect may wait for an answer that never comes. */
  #introduce(): void {
    this.#retire();
    const { control, serverUrl, clock } = this.#deps;
    const url = new URL(serverUrl);
    const secure = url.protocol === 'https:';
    const peer = new Peer(control.id, {
      host: url.hostname,
      port: url.port ? Number(url.port) : secure ? 443 : 80,
      secure,
      path: PEER_PATH,
      token: control.welcome.peerToken,
      config: { iceServers: control.welcome.iceServers.map(toIceServer) },
      debug: 0,
    });
    fenceIntroductions(peer, clock, () => this.#unopened);
    this.#current = peer;
    this.#connections.set(peer, new Set());
    const replace = (): void => this.#introduceLater(peer);
    const stopTimer = clock.setTimer(replace, WEBRTC_TIMEOUT_MS);
    peer.on('open', () => {
      stopTimer();
      this.#attempt = 0;
      this.#wakeDials.notify();
    });
    peer.on('connection', (connection) => this.#accept(peer, connection));
    peer.on('disconnected', () => {
      stopTimer();
      replace();
    });
    peer.on('error', ({ type, message }) => {
      if (type === 'peer-unavailable') this.#failDials(message);
    });
  }

  /** Lets a Peer that introduces nobody any more go, once its last connection is gone. */
  #retire(): void {
    this.#stopTimer();
    const peer = this.#current;
    this.#current = null;
    if (!peer) return;
    peer.disconnect();
    this.#release(peer);
  }

  #introduceLater(peer: Peer): void {
    if (peer !== this.#current) return;
    this.#retire();
    if (this.#isClosed || this.#deps.control.state.type !== 'open') return;
    const delayMs = backoffMs(++this.#attempt, { firstMs: 1_000, maxMs: 30_000 });
    this.#stopTimer = this.#deps.clock.setTimer(() => this.#introduce(), delayMs);
  }

  #accept(introducer: Peer, connection: DataConnection): void {
    const peer = peerIdSchema.safeParse(connection.peer);
    if (!peer.success || !this.onIncoming) return connection.close();
    this.#remember(introducer, connection);
    this.#unopened++;
    let isWaiting = true;
    const settle = (): void => {
      if (isWaiting) this.#unopened--;
      isWaiting = false;
      stopTimer();
    };
    const giveUp = (): void => {
      settle();
      connection.close();
      this.#forget(introducer, connection);
    };
    const stopTimer = this.#deps.clock.setTimer(giveUp, WEBRTC_TIMEOUT_MS);
    connection.on('error', giveUp);
    connection.on('close', giveUp);
    connection.on('open', () => {
      openWebRtcChannel(connection).then((channel) => {
        settle();
        if (this.onIncoming) this.onIncoming(peer.data, channel);
        else giveUp();
      }, giveUp);
    });
  }

  #failDials(message: string): void {
    for (const [connection, fail] of [...this.#dials]) {
      if (message.endsWith(connection.peer)) fail(new ChorusError('link-lost', 'that peer is not here'));
    }
  }

  #remember(introducer: Peer, connection: DataConnection): void {
    this.#connections.get(introducer)?.add(connection);
  }

  #forget(introducer: Peer, connection: DataConnection): void {
    this.#connections.get(introducer)?.delete(connection);
    this.#release(introducer);
  }

  #release(peer: Peer): void {
    if (peer === this.#current || (this.#connections.get(peer)?.size ?? 0) > 0) return;
    this.#connections.delete(peer);
    peer.destroy();
  }
}

function toIceServer({ urls, username, credential }: ControlClient['welcome']['iceServers'][number]): RTCIceServer {
  return { urls, ...(username === undefined ? {} : { username }), ...(credential === undefined ? {} : { credential }) };
}
