import type { Duplex } from 'node:stream';
import type { Clock } from '#shared/clock.ts';
import { MAX_CONTROL_MESSAGE_BYTES } from '#shared/limits.ts';
import type { DesksEnd, EdgeEnd } from './control-router.ts';
import { parseFromPeer, parseToPeer } from './parcel.ts';
import { desksEnd, edgeEnd, MAX_WAITING } from './router-end.ts';
import type { TextLine } from './text-line.ts';

/** Numbers and escapes may be longer than the peer wrote them, but not by this much. */
const MAX_TEXT = 16 * MAX_CONTROL_MESSAGE_BYTES;

/** The edge's end of a router whose desks are at the other end of a stream, in another process. */
export function createPipedEdgeEnd(stream: Duplex, clock: Clock, maxWaiting = MAX_WAITING): EdgeEnd {
  return edgeEnd(new StreamLine(stream), parseToPeer, { clock, maxWaiting });
}

/** The desks' end of a router whose edge is at the other end of a stream, in another process. */
export function createPipedDesksEnd(stream: Duplex, clock: Clock, maxWaiting = MAX_WAITING): DesksEnd {
  return desksEnd(new StreamLine(stream), parseFromPeer, { clock, maxWaiting });
}

/** One text a line, in UTF-8; JSON has no line breaks of its own. */
class StreamLine implements TextLine {
  readonly #stream: Duplex;
  #reason = 'it is gone';

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('error', ({ message }) => (this.#reason = message));
  }

  get waiting(): number {
    return this.#stream.writableLength;
  }

  write(text: string): void {
    if (this.#stream.writable) this.#stream.write(`${text}\n`);
  }

  read(onText: (text: string) => void, onCut: (reason: string) => void): void {
    let begun = '';
    this.#stream.setEncoding('utf8');
    this.#stream.on('data', (data: string) => {
      const texts = data.split('\n');
      texts[0] = begun + texts[0]!;
      begun = texts.pop()!;
      for (const text of texts) onText(text);
      if (begun.length > MAX_TEXT) {
        this.#reason = `it sent a line without an end; at most ${MAX_TEXT} characters are taken`;
        this.cut();
      }
    });
    const tell = (): void => onCut(this.#reason);
    if (this.#stream.destroyed) tell();
    else this.#stream.once('close', tell).once('end', tell);
  }

  end(): void {
    this.#stream.end();
  }

  cut(): void {
    this.#stream.destroy();
  }
}
