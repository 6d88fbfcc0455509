import { toBase64, toHex } from '../../bytes.ts';
import type { Clock, RandomBytes } from '../../clock.ts';
import { peerIdOf, type Identity } from '../../crypto/identity.ts';
import { drawRequestBytes, type DrawContext, type DrawRequest } from '../../draw/draw-request.ts';
import { parseCheckpoint } from '../../log/checkpoint.ts';
import { parseNote } from '../../log/signed-note.ts';
import type { PeerControlMessage, ServerMessage } from '../../wire/control-message.ts';
import type { ControlClient } from '../control/control-client.ts';

type AskedDraw = NonNullable<Extract<PeerControlMessage, { type: 'route' }>['draw']>;

/** A checkpoint this old is asked for anew. */
const FRESH_MS = 10_000;
/** How long the answer is waited for; a route without a draw is better than none. */
const LOOK_TIMEOUT_MS = 1_000;

export interface DrawAskerDeps {
  readonly control: Pick<ControlClient, 'serverKey' | 'state' | 'send'>;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

/** Makes the requests that draws depend on: the newest checkpoint of the server's log, and a nonce that nobody knew before. */
export class DrawAsker {
  readonly #deps: DrawAskerDeps;
  readonly #series: string;
  #number = 0;
  #seen: { readonly checkpoint: DrawRequest['checkpoint'] | null; readonly atMs: number } | null = null;
  #looking: { readonly promise: Promise<void>; readonly end: () => void } | null = null;

  constructor(deps: DrawAskerDeps) {
    this.#deps = deps;
    this.#series = toHex(deps.random(8));
  }

  /** The server has shown its newest checkpoint, or that it has none to draw by. */
  take({ note }: Extract<ServerMessage, { type: 'checkpoint' }>): void {
    this.#seen = { checkpoint: note === null ? null : readCheckpoint(note), atMs: this.#deps.clock.nowMs() };
    this.#looking?.end();
  }

  /** The connection is another one: what was seen on the one before may be of another start of the server. */
  forget(): void {
    this.#seen = null;
    this.#looking?.end();
  }

  /** What a request for a route is to say; null where the server has shown nothing that can be drawn by. */
  async ask(wish: Pick<DrawContext, 'model' | 'capacity'> & { readonly shadows: number }): Promise<AskedDraw | null> {
    const { clock, control, identity, random } = this.#deps;
    if (this.#seen === null || clock.nowMs() - this.#seen.atMs > FRESH_MS) await this.#look();
    const checkpoint = this.#seen?.checkpoint ?? null;
    if (checkpoint === null) return null;
    this.#number += 1;
    const request = {
      ...{ checkpoint, nonce: toHex(random(16)), series: this.#series },
      ...{ number: this.#number, shadows: wish.shadows },
    };
    const context = {
      ...{ server: peerIdOf(control.serverKey), model: wish.model },
      ...{ requester: identity.id, capacity: wish.capacity },
    };
    const signature = toBase64(await identity.sign(drawRequestBytes(request, context)));
    return { ...request, signature, publicKey: toBase64(identity.publicKey) };
  }

  #look(): Promise<void> {
    if (this.#looking !== null) return this.#looking.promise;
    const { clock, control } = this.#deps;
    if (control.state.type !== 'open') return Promise.resolve();
    let resolve = (): void => undefined;
    const promise = new Promise<void>((resolved) => (resolve = resolved));
    const stopTimer = clock.setTimer(() => end(), LOOK_TIMEOUT_MS);
    const end = (): void => {
      stopTimer();
      this.#looking = null;
      resolve();
    };
    this.#looking = { promise, end };
    try {
      control.send({ type: 'look' });
    } catch {
      end();
    }
    return promise;
  }
}

/** Null for what is no checkpoint. */
function readCheckpoint(note: string): DrawRequest['checkpoint'] | null {
  try {
    const { size, root } = parseCheckpoint(parseNote(note).text);
    return { size, root: toBase64(root) };
  } catch {
    return null;
  }
}
