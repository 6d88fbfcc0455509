import type { Clock } from '#shared/clock.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import type { DesksEnd, EdgeEnd, FromPeer, PeerAddress, RouterEnd, ToPeer } from './control-router.ts';
import type { Parcel } from './parcel.ts';
import type { TextLine } from './text-line.ts';

export interface EndOptions {
  readonly clock: Clock;
  /** More than this left untaken means that the other side is stuck; the router is then lost. */
  readonly maxWaiting: number;
}

/** Messages that the other side does not take in would pile up here without end. */
export const MAX_WAITING = 64 * 1024 * 1024;

/** The edge's end, which tells of connections as they open and close. */
export function edgeEnd(line: TextLine, parse: (text: string) => Parcel<ToPeer>, options: EndOptions): EdgeEnd {
  return new LineEnd<FromPeer, ToPeer>(line, parse, null, options);
}

/** The desks' end. A peer whose edge is gone has left. */
export function desksEnd(line: TextLine, parse: (text: string) => Parcel<FromPeer>, options: EndOptions): DesksEnd {
  return new LineEnd<ToPeer, FromPeer>(line, parse, { type: 'left' }, options);
}

type Message = { readonly type: string };

class LineEnd<Sent extends Message, Received extends Message> implements RouterEnd<Sent, Received> {
  readonly #line: TextLine;
  readonly #parse: (text: string) => Parcel<Received>;
  /** The last message of every open connection that this side receives at the end; null for none. */
  readonly #farewell: Received | null;
  readonly #options: EndOptions;
  readonly #open = new Map<PeerId, number>();
  #handler: (from: PeerAddress, message: Received) => void = () => undefined;
  #onEnd: (ended: ChorusError) => void = () => undefined;
  #ended: ChorusError | null = null;
  #closing: Promise<void> | null = null;

  constructor(
    line: TextLine,
    parse: (text: string) => Parcel<Received>,
    farewell: Received | null,
    options: EndOptions,
  ) {
    this.#line = line;
    this.#parse = parse;
    this.#farewell = farewell;
    this.#options = options;
  }

  get ended(): ChorusError | null {
    return this.#ended;
  }

  send(to: PeerAddress, message: Sent): void {
    if (this.#passes(to, message)) this.#write({ id: to.id, connection: to.connection, message });
  }

  receive(handler: (from: PeerAddress, message: Received) => void, onEnd: (ended: ChorusError) => void): void {
    this.#handler = handler;
    this.#onEnd = onEnd;
    if (this.#ended !== null) return onEnd(this.#ended);
    this.#line.read(
      (text) => this.#take(text),
      (reason) => this.#lose(reason),
    );
  }

  close(graceMs: number): Promise<void> {
    if (this.#closing !== null) return this.#closing;
    if (this.#ended !== null) {
      return this.#ended.code === 'cancelled' ? Promise.resolve() : Promise.reject(this.#ended);
    }
    this.#closing = new Promise((resolve, reject) => {
      const cancelTimer = this.#options.clock.setTimer(
        () => this.#lose(`it did not answer within ${graceMs} ms`),
        graceMs,
      );
      this.#onEnd = (ended) => {
        cancelTimer();
        if (ended.code === 'cancelled') resolve();
        else reject(ended);
      };
    });
    this.#takeLeave();
    this.#write('bye');
    return this.#closing;
  }

  #write(parcel: Parcel<Sent>): void {
    const { maxWaiting } = this.#options;
    this.#line.write(JSON.stringify(parcel));
    if (this.#line.waiting > maxWaiting)
      this.#lose(`${this.#line.waiting} bytes wait for it; at most ${maxWaiting} may`);
  }

  #take(text: string): void {
    if (this.#ended !== null) return;
    let parcel: Parcel<Received>;
    try {
      parcel = this.#parse(text);
    } catch (thrown) {
      return this.#lose(`it sent ${toChorusError(thrown).message}`);
    }
    if (parcel === 'bye') return this.#takeBye();
    if (this.#passes(parcel, parcel.message)) this.#handler(parcel, parcel.message);
  }

  /** Both ends keep the same book, each of what has passed it. */
  #passes({ id, connection }: PeerAddress, { type }: Message): boolean {
    if (this.#ended !== null || this.#closing !== null) return false;
    if (type === 'joined') this.#open.set(id, connection);
    else if (this.#open.get(id) !== connection) return false;
    if (type === 'left') this.#open.delete(id);
    return true;
  }

  #takeBye(): void {
    this.#end(new ChorusError('cancelled', 'the other side of the server has closed'));
    if (this.#closing === null) this.#write('bye');
    this.#line.end();
  }

  #lose(reason: string): void {
    if (this.#ended !== null) return;
    this.#line.cut();
    this.#end(new ChorusError('server-lost', `the other side of the server is lost: ${reason}`));
  }

  #end(ended: ChorusError): void {
    this.#ended = ended;
    this.#takeLeave();
    this.#onEnd(ended);
  }

  #takeLeave(): void {
    const open = [...this.#open].map(([id, connection]) => ({ id, connection }));
    this.#open.clear();
    if (this.#farewell !== null) for (const address of open) this.#handler(address, this.#farewell);
  }
}
