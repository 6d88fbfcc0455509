import { ChorusError } from '#shared/errors.ts';
import type { Channel } from '#shared/peer/link/channel.ts';

/** One end of an in-memory channel. Pieces are copied and arrive in a later microtask, unless held back. */
export class LoopbackChannel implements Channel {
  readonly transport: 'webrtc' | 'relay';
  readonly binding: string;
  onPiece: (piece: Uint8Array<ArrayBuffer>) => void = () => {};
  onDrain: () => void = () => {};
  onClose: (reason: string) => void = () => {};
  /** Every piece this end sent, for tests that look at the wire. */
  readonly sent: Uint8Array<ArrayBuffer>[] = [];
  #other: LoopbackChannel | undefined;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #bufferedBytes = 0;
  #isHeld = false;
  #isFlushing = false;
  #isClosed = false;

  constructor(transport: 'webrtc' | 'relay', binding = '') {
    this.transport = transport;
    this.binding = binding;
  }

  static pair(transport: 'webrtc' | 'relay' = 'webrtc'): [LoopbackChannel, LoopbackChannel] {
    const binding = transport === 'webrtc' ? 'loopback' : '';
    const ends: [LoopbackChannel, LoopbackChannel] = [
      new LoopbackChannel(transport, binding),
      new LoopbackChannel(transport, binding),
    ];
    LoopbackChannel.join(...ends);
    return ends;
  }

  static join(a: LoopbackChannel, b: LoopbackChannel): void {
    a.#other = b;
    b.#other = a;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(piece: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed) throw new ChorusError('link-lost', 'the channel is closed');
    const copy = piece.slice();
    this.sent.push(copy);
    this.#queue.push(copy);
    this.#bufferedBytes += copy.length;
    this.#schedule();
  }

  /** Keeps pieces back from now on, as a network that stalls does. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Lets the pieces kept back go. */
  release(): void {
    this.#isHeld = false;
    this.#schedule();
  }

  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    queueMicrotask(() => this.onClose(reason));
    const other = this.#other;
    // Messages that were sent before the close still arrive.
    queueMicrotask(() => queueMicrotask(() => other?.close(reason)));
  }

  #schedule(): void {
    if (this.#isFlushing || this.#isHeld) return;
    this.#isFlushing = true;
    queueMicrotask(() => {
      this.#isFlushing = false;
      while (!this.#isHeld) {
        const piece = this.#queue.shift();
        if (!piece) break;
        this.#bufferedBytes -= piece.length;
        if (this.#other && !this.#other.#isClosed) this.#other.onPiece(piece);
      }
      if (this.#queue.length === 0 && !this.#isClosed) this.onDrain();
    });
  }
}
