import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { LINK_WINDOW_BYTES, MAX_HANDSHAKES, MAX_LINKS, MAX_LINKS_PER_PEER } from '../../limits.ts';
import { decodeRelayFrame, encodeRelayFrame, type RelayFrame } from '../../wire/codec/relay-frame.ts';
import type { Channel } from './channel.ts';

/** Credit is given back in shares of the window, so that a sender never stands still for want of a frame on its way. */
const CREDIT_BYTES = LINK_WINDOW_BYTES / 4;

/** Channels to many peers over the one control socket. */
export class RelayMux {
  /** Called for each channel another peer opens; without it they are refused. */
  onIncoming: ((peer: PeerId, channel: Channel) => void) | null = null;
  readonly #self: PeerId;
  readonly #sendFrame: (frame: Uint8Array<ArrayBuffer>) => void;
  readonly #channels = new Map<string, RelayChannel>();
  #nextNumber = 0;

  /** `sendFrame` throws `link-lost` or `server-lost` while there is no socket. */
  constructor(self: PeerId, sendFrame: (frame: Uint8Array<ArrayBuffer>) => void) {
    this.#self = self;
    this.#sendFrame = sendFrame;
  }

  /** A channel to `peer`. Whether anybody is there shows in its first answer or its close. Throws as `sendFrame` does. */
  open(peer: PeerId): Channel {
    const number = this.#nextNumber + (this.#opensEven(peer) ? 0 : 1);
    this.#nextNumber = (this.#nextNumber + 2) >>> 0;
    this.#sendFrame(encodeRelayFrame({ peer, channel: number, op: 'open' }));
    return this.#add(peer, number);
  }

  /** Takes one frame from the server. Throws `bad-message` or `too-large`. */
  receive(bytes: Uint8Array<ArrayBuffer>): void {
    const frame = decodeRelayFrame(bytes);
    const channel = this.#channels.get(keyOf(frame.peer, frame.channel));
    switch (frame.op) {
      case 'open':
        // The same number again means that the other side has begun anew.
        channel?.end('the other side opened the channel anew');
        return this.#accept(frame);
      case 'data':
        if (channel) channel.receive(frame.piece);
        else this.#refuse(frame, 'no such channel');
        return;
      case 'close':
        return channel?.end(frame.reason);
      case 'credit':
        return channel?.takeCredit(frame.bytes);
    }
  }

  /** Ends all channels, as when the socket is gone. */
  closeAll(reason: string): void {
    for (const channel of [...this.#channels.values()]) channel.end(reason);
  }

  #accept(frame: RelayFrame): void {
    const ofPeer = [...this.#channels.values()].filter((channel) => channel.peer === frame.peer).length;
    const isEven = frame.channel % 2 === 0;
    if (isEven === this.#opensEven(frame.peer)) return this.#refuse(frame, 'not a number of yours');
    if (!this.onIncoming) return this.#refuse(frame, 'not accepting links');
    if (ofPeer >= MAX_LINKS_PER_PEER || this.#channels.size >= MAX_LINKS + MAX_HANDSHAKES)
      return this.#refuse(frame, 'too many links');
    this.onIncoming(frame.peer, this.#add(frame.peer, frame.channel));
  }

  #add(peer: PeerId, number: number): RelayChannel {
    const key = keyOf(peer, number);
    const channel = new RelayChannel(peer, number, this.#sendFrame, () => this.#channels.delete(key));
    this.#channels.set(key, channel);
    return channel;
  }

  #refuse({ peer, channel }: RelayFrame, reason: string): void {
    this.#sendFrame(encodeRelayFrame({ peer, channel, op: 'close', reason }));
  }

  #opensEven(peer: PeerId): boolean {
    return this.#self < peer;
  }
}

class RelayChannel implements Channel {
  readonly transport = 'relay';
  readonly binding = '';
  readonly peer: PeerId;
  onPiece: (piece: Uint8Array<ArrayBuffer>) => void = () => {};
  onDrain: () => void = () => {};
  onClose: (reason: string) => void = () => {};
  readonly #number: number;
  readonly #sendFrame: (frame: Uint8Array<ArrayBuffer>) => void;
  readonly #onEnd: () => void;
  /** Sent and not yet credited. */
  #bufferedBytes = 0;
  /** Received and not yet credited. */
  #owedBytes = 0;
  #isClosed = false;

  constructor(peer: PeerId, number: number, sendFrame: (frame: Uint8Array<ArrayBuffer>) => void, onEnd: () => void) {
    this.peer = peer;
    this.#number = number;
    this.#sendFrame = sendFrame;
    this.#onEnd = onEnd;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  send(piece: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed) throw new ChorusError('link-lost', 'the relayed channel is closed');
    this.#send({ op: 'data', piece });
    this.#bufferedBytes += piece.length;
  }

  close(reason: string): void {
    if (this.#isClosed) return;
    try {
      this.#send({ op: 'close', reason });
    } catch {
      // Without a socket the other side learns of it from the server.
    }
    this.end(reason);
  }

  receive(piece: Uint8Array<ArrayBuffer>): void {
    this.onPiece(piece);
    this.#owedBytes += piece.length;
    if (this.#owedBytes < CREDIT_BYTES || this.#isClosed) return;
    this.#send({ op: 'credit', bytes: this.#owedBytes });
    this.#owedBytes = 0;
  }

  takeCredit(bytes: number): void {
    this.#bufferedBytes = Math.max(0, this.#bufferedBytes - bytes);
    this.onDrain();
  }

  end(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onEnd();
    this.onClose(reason);
  }

  #send(
    frame:
      | { op: 'data'; piece: Uint8Array<ArrayBuffer> }
      | { op: 'close'; reason: string }
      | { op: 'credit'; bytes: number },
  ): void {
    this.#sendFrame(encodeRelayFrame({ peer: this.peer, channel: this.#number, ...frame }));
  }
}

function keyOf(peer: PeerId, channel: number): string {
  return `${peer}/${channel}`;
}
