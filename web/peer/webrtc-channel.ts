import type { DataConnection } from 'peerjs';
import { ChorusError } from '#shared/errors.ts';
import { LINK_WINDOW_BYTES, MAX_PIECE_BYTES } from '#shared/limits.ts';
import type { Channel } from '#shared/peer/channel.ts';

/**
 * A Channel over an open PeerJS connection of `raw` serialization. It sends on the data channel itself: PeerJS would
 * queue without bound above 8 MiB.
 */
export class WebRtcChannel implements Channel {
  readonly transport = 'webrtc';
  readonly binding: string;
  onPiece: (piece: Uint8Array<ArrayBuffer>) => void = () => {};
  onDrain: () => void = () => {};
  onClose: (reason: string) => void = () => {};
  readonly #connection: DataConnection;
  readonly #dataChannel: RTCDataChannel;
  #isClosed = false;

  /** Throws `bad-message` if the connection's fingerprints are not plain to see. */
  constructor(connection: DataConnection) {
    this.#connection = connection;
    this.#dataChannel = connection.dataChannel;
    this.binding = bindingOf(connection.peerConnection);
    this.#dataChannel.bufferedAmountLowThreshold = LINK_WINDOW_BYTES / 2;
    this.#dataChannel.addEventListener('bufferedamountlow', () => this.onDrain());
    connection.on('data', (data) => this.#receive(data));
    connection.on('close', () => this.#finish('the direct connection closed'));
    connection.on('error', (error) => this.close(`the direct connection failed (${error.type})`));
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
    if (data instanceof ArrayBuffer && data.byteLength <= MAX_PIECE_BYTES) this.onPiece(new Uint8Array(data));
    else this.close('the other side sent what is no piece');
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
