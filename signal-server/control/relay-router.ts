import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { LINK_WINDOW_BYTES } from '#shared/limits.ts';
import { decodeRelayFrame, encodeRelayFrame, withRelaySource } from '#shared/wire/codec/relay-frame.ts';
import type { Config } from '../machine/config.ts';
import type { ControlPeer } from './control-socket.ts';
import { RelayBudgets, type RelayLimits } from './relay-budgets.ts';
import { RelayChannels, type Passage } from './relay-channels.ts';

export interface RelayRouterDeps {
  readonly clock: Clock;
  readonly peer: (id: PeerId) => ControlPeer | undefined;
  readonly limits: RelayLimits & Pick<Config['limits'], 'relayBufferedBytes' | 'relayHalfOpen'>;
  readonly onRelayed: (bytes: number) => void;
}

/**
 * Passes well-formed relay frames between proven peers, pieces unread, and pieces only where a channel was accepted. It keeps
 * none of them: a frame that cannot be passed on is answered with `close`, and the credits of the two ends, which it counts too,
 * bound what lies in a receiver's socket.
 */
export class RelayRouter {
  readonly #deps: RelayRouterDeps;
  readonly #budgets: RelayBudgets;
  readonly #channels: RelayChannels;
  /** What waited at receivers of which channels were closed last, until it is below the limit again. */
  readonly #relieved = new Map<PeerId, number>();

  constructor(deps: RelayRouterDeps) {
    this.#deps = deps;
    this.#budgets = new RelayBudgets(deps.clock, deps.limits);
    this.#channels = new RelayChannels(deps.clock, deps.limits.relayHalfOpen);
  }

  /** Throws `bad-message`, `too-large` or `rate-limited`, for which the sender is to blame. */
  route(from: ControlPeer, frame: Uint8Array<ArrayBuffer>): void {
    const decoded = decodeRelayFrame(frame);
    const { peer: to, channel, op } = decoded;
    this.#budgets.take(from, frame.length);
    if (op === 'close') {
      if (this.#channels.close(from.id, to, channel)) this.#pass(from, this.#deps.peer(to), frame);
      return;
    }
    const receiver = to === from.id ? undefined : this.#deps.peer(to);
    // Closes are answered with none: two absent ends must not send them back and forth.
    const refuse = (reason: string): void => from.sendFrame(closeFrame(to, channel, reason));
    if (receiver === undefined) return refuse('that peer is not connected to the server');
    if (op === 'open') {
      if (!this.#channels.open(from, to, channel)) return refuse('too many channels are on their way to that peer');
      return this.#pass(from, receiver, frame);
    }
    const passage =
      op === 'data'
        ? this.#channels.passData(from.id, to, channel, decoded.piece.length)
        : this.#channels.passCredit(from.id, to, channel, decoded.bytes);
    if (passage === 'unknown') {
      this.#budgets.takeStray(from);
      return refuse('there is no such channel');
    }
    demandPassage(passage);
    if (this.#isOverfull(receiver) && this.#relieve(receiver, from.id, channel)) return;
    this.#pass(from, receiver, frame);
  }

  forget(id: PeerId): void {
    this.#budgets.forget(id);
    this.#channels.forget(id);
    this.#relieved.delete(id);
  }

  /** What is on its way already takes a while to leave, and is no reason to close the channels of others. */
  #isOverfull({ id, bufferedBytes }: ControlPeer): boolean {
    if (bufferedBytes <= this.#deps.limits.relayBufferedBytes) {
      this.#relieved.delete(id);
      return false;
    }
    return bufferedBytes > (this.#relieved.get(id) ?? -LINK_WINDOW_BYTES) + LINK_WINDOW_BYTES;
  }

  #pass(from: ControlPeer, receiver: ControlPeer | undefined, frame: Uint8Array<ArrayBuffer>): void {
    if (receiver === undefined) return;
    receiver.sendFrame(withRelaySource(frame, from.id));
    this.#deps.onRelayed(frame.length);
  }

  /** Closes the channels of the address for which most waits at this receiver; true if the given one is among them. */
  #relieve(receiver: ControlPeer, from: PeerId, channel: number): boolean {
    this.#relieved.set(receiver.id, receiver.bufferedBytes);
    const closed = this.#channels.closeHeaviest(receiver.id, (id) => this.#deps.peer(id)?.client ?? null);
    for (const { peer, number } of closed) {
      this.#deps.peer(peer)?.sendFrame(closeFrame(receiver.id, number, 'the other peer takes too long'));
      receiver.sendFrame(closeFrame(peer, number, 'too much is waiting for you'));
    }
    return closed.some(({ peer, number }) => peer === from && number === channel);
  }
}

function demandPassage(passage: Exclude<Passage, 'unknown'>): void {
  if (passage === 'early') throw new ChorusError('bad-message', 'pieces on a channel that was not accepted');
  if (passage === 'beyond') throw new ChorusError('rate-limited', 'more on a channel than the other side has taken');
}

function closeFrame(peer: PeerId, channel: number, reason: string): Uint8Array {
  return encodeRelayFrame({ peer, channel, op: 'close', reason });
}
