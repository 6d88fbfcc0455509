/**
 * A pipe for pieces of at most MAX_PIECE_BYTES between two peers: a data channel or a relayed one. Pieces arrive
 * whole, once and in order, or the channel closes. It proves nothing about who is at the other end.
 */
export interface Channel {
  readonly transport: 'webrtc' | 'relay';
  /**
   * A text that both ends see alike and nobody in the middle can copy: the two DTLS fingerprints of a data
   * channel. The handshake signs it. Empty for the relay, whose server is in the middle by design.
   */
  readonly binding: string;
  /** Hands over one piece. Never blocks; callers watch `bufferedBytes`. Throws `link-lost` once closed. */
  send(piece: Uint8Array<ArrayBuffer>): void;
  /** Bytes handed over that have not left yet. */
  readonly bufferedBytes: number;
  /** At most one listener each; set before the first await after the channel is handed out. */
  onPiece: (piece: Uint8Array<ArrayBuffer>) => void;
  /** Called whenever `bufferedBytes` has fallen low enough to go on sending. */
  onDrain: () => void;
  /** Called once, with a reason for people. */
  onClose: (reason: string) => void;
  /** Closes at once; `onClose` is still called. */
  close(reason: string): void;
}
