import type { DataConnection } from 'peerjs';
import { ChorusError } from '#shared/errors.ts';
import { LINK_WINDOW_BYTES, MAX_PIECE_BYTES } from '#shared/limits.ts';
import type { Channel } from '#shared/peer/link/channel.ts';

/** Before both ends have shown who they are, a few small messages are sent. */
const MAX_EARLY_PIECES = 16;

/**
 * A Channel over a PeerJS connection of `raw` serialization that has just opened. Rejects with `bad-message` if its
 * fingerprints are not plain to see.
 */
export async function openWebRtcChannel(connection: DataConnection): Promise<Channel> {
  const { peerConnection } = connection;
  const channel = new WebRtcChannel(connection);
  await answered(connection);
  channel.binding = bindingOf(peerConnection);
  return channel;
}

/** Data may come before the browser shows the answer that made it possible. */
function answered(connection: DataConnection): Promise<void> {
  const { peerConnection } = connection;
  if (peerConnection.signalingState === 'stable') return Promise.resolve();
  return new Promise((resolve) => {
    peerConnection.addEventListener('signalingstatechange', () => resolve(), { once: true });
    connection.on('close', resolve);
  });
}

/** Sends on the data channel itself: PeerJS would queue without bound above 8 MiB. */
class WebRtcChannel implements Channel {
  readonly transport = 'webrtc';
  binding = '';
  onDrain: () => void = () => {};
  onClose: (reason: string) => void = () => {};
  readonly #connection: DataConnection;
  readonly #dataChannel: RTCDataChannel;
  #onPiece: ((piece: Uint8Array<ArrayBuffer>) => void) | null = null;
  /** Pieces that came before anybody listened. */
  readonly #early: Uint8Array<ArrayBuffer>[] = [];
  #isClosed = false;

  constructor(connection: DataConnection) {
    this.#connection = connection;
    this.#dataChannel = connection.dataChannel;
    this.#dataChannel.bufferedAmountLowThreshold = LINK_WINDOW_BYTES / 2;
    this.#dataChannel.addEventListener('bufferedamountlow', () => this.onDrain());
    connection.on('data', (data) => this.#receive(data));
    connection.on('close', () => this.#finish('the direct connection closed'));
    connection.on('error', (error) => this.close(`the direct connection failed (${error.type})`));
  }

  get onPiece(): (piece: Uint8Array<ArrayBuffer>) => void {
    return this.#onPiece ?? (() => {});
  }

  /** Earlier pieces follow once the listener has set the rest. */
  set onPiece(onPiece: (piece: Uint8Array<ArrayBuffer>) => void) {
    this.#onPiece = onPiece;
    queueMicrotask(() => {
      for (const piece of this.#early.splice(0)) if (!this.#isClosed) this.onPiece(piece);
    });
  }

  get bufferedBytes(): number {
    return this.#dataChannel.bufferedAmount;
  }

  send(piece: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed) throw new ChorusError('link-lost', 'the direct connection is closed');
    try {
      this.#dataChannel.send(piece);
    } catch (error) {
      this.close('the direct connection takes no more');
      throw new ChorusError('link-lost', `the direct connection takes no more (${String(error)})`);
    }
  }

  close(reason: string): void {
    if (this.#isClosed) return;
    this.#finish(reason);
    this.#connection.close();
  }

  #receive(data: unknown): void {
    if (this.#isClosed) return;
    if (!(data instanceof ArrayBuffer) || data.byteLength > MAX_PIECE_BYTES) {
      return this.close('the other side sent what is no piece');
    }
    const piece = new Uint8Array(data);
    if (this.#onPiece !== null && this.#early.length === 0) return this.#onPiece(piece);
    if (this.#early.length >= MAX_EARLY_PIECES) return this.close('the other side sent too much too early');
    this.#early.push(piece);
  }

  #finish(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.onClose(reason);
  }
}

/** The certificates of both ends, in an order that both ends agree on. */
function bindingOf({ localDescription, remoteDescription }: RTCPeerConnection): string {
  return [fingerprintOf(localDescription), fingerprintOf(remoteDescription)].sort().join(' ');
}

function fingerprintOf(description: RTCSessionDescription | null): string {
  const found = [...(description?.sdp ?? '').matchAll(/^a=fingerprint:\s*(\S+\s+\S+)\s*$/gim)];
  const fingerprints = new Set(found.map((match) => (match[1] as string).toLowerCase().replace(/\s+/, ' ')));
  const [only] = fingerprints;
  // Of several the browser accepts any, so that one in the middle could add its own to the true one.
  if (only === undefined || fingerprints.size > 1) throw new ChorusError('bad-message', 'not one DTLS fingerprint');
  return only;
}
