import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { decodeRelayFrame, encodeRelayFrame, withRelaySource } from '#shared/wire/codec/relay-frame.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';
import type { ControlPeer } from './control-socket.ts';

export interface RelayRouterDeps {
  readonly clock: Clock;
  readonly peer: (id: PeerId) => ControlPeer | undefined;
  readonly limits: Pick<Config['limits'], 'relayFrames' | 'relayBytes' | 'relayBufferedBytes'>;
  readonly onRelayed: (bytes: number) => void;
}

/**
 * Passes well-formed relay frames between proven peers, pieces unread. It keeps nothing: a frame that cannot be passed on
 * is answered with `close`, and the two ends' credits bound what lies in a receiver's socket.
 */
export class RelayRouter {
  readonly #deps: RelayRouterDeps;
  readonly #budgets = new Map<PeerId, { frames: TokenBucket; bytes: TokenBucket }>();

  constructor(deps: RelayRouterDeps) {
    this.#deps = deps;
  }

  /** Throws `bad-message`, `too-large` or `rate-limited`, for which the sender is to blame. */
  route(from: ControlPeer, frame: Uint8Array<ArrayBuffer>): void {
    const { peer: to, channel, op } = decodeRelayFrame(frame);
    const budget = this.#budgetOf(from.id);
    if (!budget.frames.take(1) || !budget.bytes.take(frame.length)) {
      throw new ChorusError('rate-limited', 'too much over the relay');
    }
    const receiver = to === from.id ? undefined : this.#deps.peer(to);
    if (receiver === undefined) {
      // Two absent ends must not send closes back and forth.
      if (op !== 'close') from.sendFrame(closeFrame(to, channel, 'that peer is not connected to the server'));
      return;
    }
    if (receiver.bufferedBytes > this.#deps.limits.relayBufferedBytes && op !== 'close') {
      from.sendFrame(closeFrame(to, channel, 'the other peer takes too long'));
      receiver.sendFrame(closeFrame(from.id, channel, 'too much is waiting for you'));
      return;
    }
    receiver.sendFrame(withRelaySource(frame, from.id));
    this.#deps.onRelayed(frame.length);
  }

  forget(id: PeerId): void {
    this.#budgets.delete(id);
  }

  #budgetOf(id: PeerId): { frames: TokenBucket; bytes: TokenBucket } {
    const known = this.#budgets.get(id);
    if (known) return known;
    const nowMs = (): number => this.#deps.clock.nowMs();
    const { relayFrames, relayBytes } = this.#deps.limits;
    const budget = { frames: new TokenBucket(relayFrames, nowMs), bytes: new TokenBucket(relayBytes, nowMs) };
    this.#budgets.set(id, budget);
    return budget;
  }
}

function closeFrame(peer: PeerId, channel: number, reason: string): Uint8Array {
  return encodeRelayFrame({ peer, channel, op: 'close', reason });
}
