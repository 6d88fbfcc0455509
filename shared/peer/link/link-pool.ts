import { ChorusError, toChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { MAX_HANDSHAKES, MAX_LINKS, MAX_LINKS_PER_PEER, WEBRTC_TIMEOUT_MS } from '../../limits.ts';
import { Listeners } from '../../listeners.ts';
import { abortAfter } from '../abort-after.ts';
import type { Channel } from './channel.ts';
import { DirectRecord } from './direct-record.ts';
import { openLink } from './framed-link.ts';
import type { HandshakeDeps } from './handshake.ts';
import type { Link, Links } from './link.ts';
import type { RelayMux } from './relay-channel.ts';
import type { WebRtcTransport } from './webrtc-transport.ts';

export interface LinkPoolDeps extends HandshakeDeps {
  readonly relay: RelayMux;
  /** The first, as of `setDirect`. */
  readonly webrtc: WebRtcTransport | null;
}

export interface TransportNotice {
  readonly peer: PeerId;
  readonly transport: 'webrtc' | 'relay';
  /** The reason why the relay carries the link, in words for people; null for a direct link or where nothing else was possible. */
  readonly reason: string | null;
}

interface PooledLink {
  readonly link: Link;
  readonly dialler: PeerId;
}

interface Dial {
  readonly promise: Promise<Link>;
  /** Ends the dial with a link that came meanwhile. */
  readonly settle: (link: Link) => void;
  readonly controller: AbortController;
  waiting: number;
}

const NOT_DIRECT = 'this side wants no direct connections';

/** All links of one peer. The caller owns `relay` and the transport's life but for `close`, which ends both. */
export class LinkPool implements Links {
  readonly #deps: LinkPoolDeps;
  readonly #links = new Map<PeerId, PooledLink[]>();
  readonly #dials = new Map<PeerId, Dial>();
  readonly #linkListeners = new Listeners<[Link]>();
  readonly #transportListeners = new Listeners<[TransportNotice]>();
  readonly #directListeners = new Listeners();
  readonly #directRecord = new DirectRecord();
  #webrtc: WebRtcTransport | null = null;
  readonly #stop = new AbortController();
  /** Of channels that came in and are not links yet; the oldest first. */
  readonly #handshakes = new Set<AbortController>();

  constructor(deps: LinkPoolDeps) {
    this.#deps = deps;
    deps.relay.onIncoming = this.#onIncoming;
    this.setDirect(deps.webrtc);
  }

  /** True while direct connections are opened and accepted. */
  get isDirect(): boolean {
    return this.#webrtc !== null;
  }

  /**
   * From now on direct connections are opened and accepted by this transport, which is the pool's to close; with null by none:
   * the links that there are close, and their peers are reached through the relay.
   */
  setDirect(webrtc: WebRtcTransport | null): void {
    this.#webrtc?.close();
    this.#webrtc = webrtc;
    if (webrtc !== null) webrtc.onIncoming = this.#onIncoming;
    for (const link of this.links()) if (link.transport === 'webrtc') link.close(NOT_DIRECT);
    this.#directListeners.notify();
  }

  /** Called after each `setDirect`. */
  onDirect(listener: () => void): () => void {
    return this.#directListeners.add(listener);
  }

  async connect(peer: PeerId, { webrtc, signal }: { webrtc: boolean; signal: AbortSignal }): Promise<Link> {
    if (signal.aborted || this.#stop.signal.aborted) throw new ChorusError('cancelled', 'no longer wanted');
    const open = this.#preferred(peer);
    if (open) return open;
    const dial = this.#dials.get(peer) ?? this.#startDial(peer, webrtc);
    dial.waiting++;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (--dial.waiting === 0) dial.controller.abort();
        reject(new ChorusError('cancelled', 'no longer wanted'));
      };
      signal.addEventListener('abort', onAbort);
      dial.promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  }

  onLink(listener: (link: Link) => void): () => void {
    const remove = this.#linkListeners.add(listener);
    const open = this.links();
    queueMicrotask(() => open.forEach((link) => this.#linkListeners.has(listener) && listener(link)));
    return remove;
  }

  /** Called for each link this side has opened, with the transport it got. */
  onTransport(listener: (notice: TransportNotice) => void): () => void {
    return this.#transportListeners.add(listener);
  }

  /** Links that are open now. */
  links(): Link[] {
    return [...this.#links.values()].flat().map(({ link }) => link);
  }

  close(): void {
    this.#stop.abort();
    for (const dial of this.#dials.values()) dial.controller.abort();
    for (const handshake of this.#handshakes) handshake.abort();
    for (const link of this.links()) link.close('this side has left');
    this.#deps.relay.onIncoming = null;
    this.#webrtc?.close();
  }

  readonly #onIncoming = (peer: PeerId, channel: Channel): void => void this.#accept(peer, channel);

  /**
   * The open link to use for `peer`. Where both have dialled at the same time there may be two; both sides then take
   * the one that the smaller id dialled, and the other ends when it has been idle.
   */
  #preferred(peer: PeerId): Link | undefined {
    const pooled = this.#links.get(peer) ?? [];
    return (pooled.find(({ dialler }) => dialler === this.#smaller(peer)) ?? pooled[0])?.link;
  }

  #smaller(peer: PeerId): PeerId {
    const self = this.#deps.identity.id;
    return self < peer ? self : peer;
  }

  #startDial(peer: PeerId, webrtc: boolean): Dial {
    const controller = new AbortController();
    let settle: (link: Link) => void = () => {};
    const promise = new Promise<Link>((resolve, reject) => {
      settle = resolve;
      this.#dialOut(peer, webrtc, controller.signal)
        .then((link) => {
          // Too late: a link that came in was taken, or nobody waits any more.
          if (controller.signal.aborted) return link.close('not needed');
          this.#add(peer, link, this.#deps.identity.id);
          resolve(link);
        })
        .catch((thrown: unknown) => {
          const other = this.#preferred(peer);
          if (other) resolve(other);
          else reject(toChorusError(thrown, 'link-lost'));
        })
        .finally(() => this.#endDial(peer, dial));
    });
    const dial: Dial = { promise, settle, controller, waiting: 0 };
    this.#dials.set(peer, dial);
    controller.signal.addEventListener('abort', () => this.#endDial(peer, dial));
    return dial;
  }

  #endDial(peer: PeerId, dial: Dial): void {
    if (this.#dials.get(peer) === dial) this.#dials.delete(peer);
  }

  async #dialOut(peer: PeerId, webrtc: boolean, signal: AbortSignal): Promise<Link> {
    const direct = webrtc ? this.#webrtc : null;
    let reason = direct && this.#directRecord.whyNot(peer);
    if (direct !== null && reason === null) {
      try {
        const link = await this.#dialDirect(peer, direct, signal);
        this.#transportListeners.notify({ peer, transport: 'webrtc', reason: null });
        return link;
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        reason = toChorusError(thrown).message;
      }
    }
    const link = await openLink(this.#deps.relay.open(peer), peer, this.#deps, signal);
    this.#transportListeners.notify({ peer, transport: 'relay', reason });
    return link;
  }

  /** A direct link within WEBRTC_TIMEOUT_MS, handshake included. */
  async #dialDirect(peer: PeerId, webrtc: WebRtcTransport, signal: AbortSignal): Promise<Link> {
    const late = new ChorusError('timeout', `no direct connection within ${WEBRTC_TIMEOUT_MS / 1000} s`);
    const limit = abortAfter(this.#deps.clock, WEBRTC_TIMEOUT_MS, late, signal);
    try {
      return await openLink(await webrtc.connect(peer, limit.signal), peer, this.#deps, limit.signal);
    } catch (thrown) {
      if (limit.signal.reason !== late) throw thrown;
      this.#directRecord.failed(peer);
      throw late;
    } finally {
      limit.clear();
    }
  }

  async #accept(peer: PeerId, channel: Channel): Promise<void> {
    const ofPeer = this.#links.get(peer)?.length ?? 0;
    if (this.#linkListeners.size === 0) return channel.close('not accepting links');
    if (ofPeer >= MAX_LINKS_PER_PEER || this.links().length >= MAX_LINKS || this.#stop.signal.aborted) {
      return channel.close('too many links');
    }
    // A handshake takes two ways there and back: the oldest of many is the one that will not be finished.
    const [oldest] = this.#handshakes;
    if (oldest !== undefined && this.#handshakes.size >= MAX_HANDSHAKES) {
      this.#handshakes.delete(oldest);
      oldest.abort();
    }
    const handshake = new AbortController();
    this.#handshakes.add(handshake);
    let link: Link;
    try {
      link = await openLink(channel, peer, this.#deps, handshake.signal);
    } catch {
      // A peer that fails the handshake has been told why and is gone, and nobody here waits for it.
      return;
    } finally {
      this.#handshakes.delete(handshake);
    }
    // Others may have come through meanwhile.
    const isFull = this.links().length >= MAX_LINKS || (this.#links.get(peer)?.length ?? 0) >= MAX_LINKS_PER_PEER;
    if (isFull) return link.close('too many links');
    this.#add(peer, link, peer);
    const dial = this.#dials.get(peer);
    if (dial && this.#smaller(peer) === peer) {
      dial.settle(link);
      dial.controller.abort();
    }
  }

  #add(peer: PeerId, link: Link, dialler: PeerId): void {
    if (link.isClosed) return;
    if (link.transport === 'webrtc' && !this.isDirect) return link.close(NOT_DIRECT);
    if (link.transport === 'webrtc') this.#directRecord.worked(peer);
    const pooled: PooledLink = { link, dialler };
    this.#links.set(peer, [...(this.#links.get(peer) ?? []), pooled]);
    link.onClose(() => {
      const left = (this.#links.get(peer) ?? []).filter((other) => other !== pooled);
      if (left.length > 0) this.#links.set(peer, left);
      else this.#links.delete(peer);
    });
    this.#linkListeners.notify(link);
  }
}

export function createLinkPool(deps: LinkPoolDeps): LinkPool {
  return new LinkPool(deps);
}
