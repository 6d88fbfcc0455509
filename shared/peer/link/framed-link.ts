import type { Clock } from '../../clock.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { LINK_IDLE_MS, LINK_PING_MS, LINK_PING_TIMEOUT_MS, LINK_WINDOW_BYTES } from '../../limits.ts';
import { Listeners } from '../../listeners.ts';
import { Reassembler, splitMessage } from '../../wire/codec/frame.ts';
import { decodePeerMessage, encodePeerMessage } from '../../wire/codec/peer-codec.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';
import type { Channel } from './channel.ts';
import { shakeHands, type HandshakeDeps, type PieceInbox } from './handshake.ts';
import type { Link } from './link.ts';

/** Far more than the sessions of one link have on the way; a peer for which more wait does not read. */
const MAX_WAITING_MESSAGES = 4_096;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const MAX_MISSED_PINGS = LINK_PING_TIMEOUT_MS / LINK_PING_MS;

interface Outgoing {
  readonly bytes: number;
  readonly pieces: Iterator<Uint8Array<ArrayBuffer>, void>;
  readonly resolve: () => void;
  readonly reject: (error: ChorusError) => void;
}

/** A link over a fresh channel to `peer`, after the handshake; rejects, with the channel closed, as shakeHands does. */
export async function openLink(
  channel: Channel,
  peer: PeerId,
  deps: HandshakeDeps,
  signal: AbortSignal,
): Promise<Link> {
  const inbox = await shakeHands(channel, peer, deps, signal);
  return new FramedLink(channel, peer, deps.clock, inbox);
}

/** Messages over a channel: framing, back-pressure, liveness. It trusts that the channel leads to `peer`. */
export class FramedLink implements Link {
  readonly peer: PeerId;
  readonly transport: 'webrtc' | 'relay';
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #reassembler = new Reassembler();
  readonly #messageListeners = new Listeners<[PeerMessage]>();
  readonly #closeListeners = new Listeners<[string]>();
  readonly #outgoing: Outgoing[] = [];
  /** Bytes of all messages that wait. */
  #waitingBytes = 0;
  /** Messages that came before anybody listened. */
  #early: PeerMessage[] | null = [];
  #earlyBytes = 0;
  /** The newest ping and pong to send; they go between the pieces of large messages. */
  #ping: Uint8Array<ArrayBuffer> | undefined;
  #pong: Uint8Array<ArrayBuffer> | undefined;
  #messageNumber = 0;
  #pingNonce = 0;
  #pingSentAtMs: number | undefined;
  #missedPings = 0;
  #lastMessageAtMs: number;
  #stopTimer: () => void = () => {};
  #closeReason: string | undefined;
  #roundTripMs: number | undefined;
  #sentBytes = 0;
  #receivedBytes = 0;

  constructor(channel: Channel, peer: PeerId, clock: Clock, inbox?: PieceInbox) {
    this.peer = peer;
    this.transport = channel.transport;
    this.#channel = channel;
    this.#clock = clock;
    this.#lastMessageAtMs = clock.nowMs();
    channel.onDrain = () => this.#pump();
    const listeners = {
      onPiece: (piece: Uint8Array<ArrayBuffer>) => this.#receive(piece),
      onClose: (reason: string) => this.#finish(reason),
    };
    if (inbox) inbox.handOver(channel, listeners);
    else Object.assign(channel, listeners);
    if (!this.isClosed) this.#tick();
  }

  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  get traffic(): Link['traffic'] {
    return { sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes };
  }

  get isClosed(): boolean {
    return this.#closeReason !== undefined;
  }

  send(message: PeerMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closeReason !== undefined) throw new ChorusError('link-lost', this.#closeReason);
      const encoded = encodePeerMessage(message);
      const pieces = splitMessage(this.#nextNumber(), encoded);
      const waitingBytes = this.#waitingBytes + encoded.length;
      const isTooMuch = this.#outgoing.length >= MAX_WAITING_MESSAGES || waitingBytes > MAX_WAITING_BYTES;
      if (isTooMuch) this.close('the other side takes too long');
      if (this.isClosed) throw new ChorusError('link-lost', 'the other side takes too long');
      this.#waitingBytes = waitingBytes;
      this.#outgoing.push({ bytes: encoded.length, pieces, resolve, reject });
      this.#lastMessageAtMs = this.#clock.nowMs();
      this.#pump();
    });
  }

  /** Messages that came before the first listener are given to all who listen by the next microtask. */
  onMessage(listener: (message: PeerMessage) => void): () => void {
    if (this.#messageListeners.size === 0 && this.#early) queueMicrotask(() => this.#deliverEarly());
    return this.#messageListeners.add(listener);
  }

  onClose(listener: (reason: string) => void): () => void {
    const reason = this.#closeReason;
    if (reason !== undefined) queueMicrotask(() => listener(reason));
    return this.#closeListeners.add(listener);
  }

  close(reason: string): void {
    if (this.isClosed) return;
    this.#channel.close(reason);
    this.#finish(reason);
  }

  #finish(reason: string): void {
    if (this.isClosed) return;
    this.#closeReason = reason;
    this.#stopTimer();
    for (const { reject } of this.#outgoing.splice(0)) reject(new ChorusError('link-lost', reason));
    this.#closeListeners.notify(reason);
  }

  #receive(piece: Uint8Array<ArrayBuffer>): void {
    if (this.isClosed) return;
    this.#receivedBytes += piece.length;
    this.#missedPings = 0;
    let message: PeerMessage;
    try {
      const bytes = this.#reassembler.add(piece);
      if (!bytes) return;
      message = decodePeerMessage(bytes);
      if (this.#early && message.type !== 'ping' && message.type !== 'pong') this.#holdEarly(message, bytes.length);
    } catch (thrown) {
      this.close(toChorusError(thrown).message);
      return;
    }
    if (message.type === 'ping') this.#answerPing(message.nonce);
    else if (message.type === 'pong') this.#takePong(message.nonce);
    else if (!this.#early) this.#deliver(message);
  }

  #holdEarly(message: PeerMessage, bytes: number): void {
    this.#earlyBytes += bytes;
    if (this.#earlyBytes > LINK_WINDOW_BYTES) throw new ChorusError('too-large', 'nobody listens on this link');
    this.#early?.push(message);
  }

  #deliverEarly(): void {
    const early = this.#early ?? [];
    this.#early = null;
    for (const message of early) this.#deliver(message);
  }

  #deliver(message: PeerMessage): void {
    this.#lastMessageAtMs = this.#clock.nowMs();
    this.#messageListeners.notify(message);
  }

  #answerPing(nonce: number): void {
    this.#pong = this.#onePiece({ type: 'pong', nonce });
    this.#pump();
  }

  #takePong(nonce: number): void {
    if (nonce !== this.#pingNonce || this.#pingSentAtMs === undefined) return;
    const sampleMs = this.#clock.nowMs() - this.#pingSentAtMs;
    this.#pingSentAtMs = undefined;
    // The smoothing of TCP (RFC 6298 section 2).
    this.#roundTripMs =
      this.#roundTripMs === undefined ? sampleMs : this.#roundTripMs + (sampleMs - this.#roundTripMs) / 8;
  }

  /**
   * Sends a ping and counts those in a row that nothing answered. Counting ticks, not time, forgives a stall of this
   * side: a sleeping tab finds its link alive when it wakes.
   */
  #tick(): void {
    if (this.#missedPings >= MAX_MISSED_PINGS) return this.close('the other side is silent');
    if (this.#clock.nowMs() - this.#lastMessageAtMs >= LINK_IDLE_MS) return this.close('idle');
    this.#missedPings++;
    this.#pingNonce = (this.#pingNonce + 1) >>> 0;
    this.#pingSentAtMs = this.#clock.nowMs();
    this.#ping = this.#onePiece({ type: 'ping', nonce: this.#pingNonce });
    this.#stopTimer = this.#clock.setTimer(() => this.#tick(), LINK_PING_MS);
    this.#pump();
  }

  #pump(): void {
    try {
      while (!this.isClosed && this.#channel.bufferedBytes < LINK_WINDOW_BYTES) {
        const urgent = this.#ping ?? this.#pong;
        if (urgent) {
          if (urgent === this.#ping) this.#ping = undefined;
          else this.#pong = undefined;
          this.#sendPiece(urgent);
          continue;
        }
        const current = this.#outgoing[0];
        if (!current) return;
        const next = current.pieces.next();
        if (!next.done) {
          this.#sendPiece(next.value);
          continue;
        }
        this.#outgoing.shift();
        this.#waitingBytes -= current.bytes;
        current.resolve();
      }
    } catch (thrown) {
      this.close(toChorusError(thrown).message);
    }
  }

  #sendPiece(piece: Uint8Array<ArrayBuffer>): void {
    this.#channel.send(piece);
    this.#sentBytes += piece.length;
  }

  #onePiece(message: PeerMessage): Uint8Array<ArrayBuffer> | undefined {
    const [piece] = splitMessage(this.#nextNumber(), encodePeerMessage(message));
    return piece;
  }

  #nextNumber(): number {
    this.#messageNumber = (this.#messageNumber + 1) >>> 0;
    return this.#messageNumber;
  }
}
