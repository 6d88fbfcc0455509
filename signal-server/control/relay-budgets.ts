import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';
import type { ControlPeer } from './control-socket.ts';

export type RelayLimits = Pick<
  Config['limits'],
  'relayFrames' | 'relayBytes' | 'relayFramesPerAddress' | 'relayBytesPerAddress' | 'relayStrays'
>;

interface Budget {
  readonly frames: TokenBucket;
  readonly bytes: TokenBucket;
}

interface PeerBudget extends Budget {
  readonly peer: ControlPeer;
  /** Pieces that lead nowhere: some are on their way whenever a channel ends. */
  readonly strays: TokenBucket;
}

/**
 * What peers may send over the relay, each key by itself and all keys of one address together. Where an address is over, the key
 * that sent most of late is dropped, not the one that happened to send next.
 */
export class RelayBudgets {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #limits: RelayLimits;
  readonly #peers = new Map<PeerId, PeerBudget>();
  readonly #addresses = new Map<string, Budget & { readonly peers: Set<PeerBudget> }>();

  constructor(clock: Pick<Clock, 'nowMs'>, limits: RelayLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Throws `rate-limited` if this peer is to be dropped. */
  take(from: ControlPeer, bytes: number): void {
    const own = this.#of(from);
    if (!spend(own, bytes)) throw new ChorusError('rate-limited', 'too much over the relay');
    const address = from.client === null ? undefined : this.#addresses.get(from.client);
    if (address === undefined || spend(address, bytes)) return;
    const [heaviest] = [...address.peers].sort((a, b) => leftOf(a) - leftOf(b));
    const message = 'too much over the relay from your network address, and most of it from you';
    if (heaviest === undefined || heaviest === own) throw new ChorusError('rate-limited', message);
    heaviest.peer.fail('rate-limited', message);
  }

  /** Counts a frame for a channel that is not there. Throws `rate-limited`. */
  takeStray(from: ControlPeer): void {
    if (this.#of(from).strays.take(1)) return;
    throw new ChorusError('rate-limited', 'too many pieces on channels that nobody has accepted');
  }

  /** The peer is gone. What its address has spent stays spent. */
  forget(id: PeerId): void {
    const budget = this.#peers.get(id);
    if (budget === undefined) return;
    this.#peers.delete(id);
    if (budget.peer.client !== null) this.#addresses.get(budget.peer.client)?.peers.delete(budget);
    for (const [client, { peers, frames, bytes }] of this.#addresses)
      if (peers.size === 0 && frames.fill === 1 && bytes.fill === 1) this.#addresses.delete(client);
  }

  #of(peer: ControlPeer): PeerBudget {
    const known = this.#peers.get(peer.id);
    if (known?.peer === peer) return known;
    const { relayFrames, relayBytes, relayStrays, relayFramesPerAddress, relayBytesPerAddress } = this.#limits;
    const bucket = (limit: { perSecond: number; burst: number }): TokenBucket =>
      new TokenBucket(limit, () => this.#clock.nowMs());
    const budget = { peer, frames: bucket(relayFrames), bytes: bucket(relayBytes), strays: bucket(relayStrays) };
    this.#peers.set(peer.id, budget);
    if (peer.client !== null) {
      const address = this.#addresses.get(peer.client) ?? {
        ...{ frames: bucket(relayFramesPerAddress), bytes: bucket(relayBytesPerAddress) },
        peers: new Set<PeerBudget>(),
      };
      address.peers.add(budget);
      this.#addresses.set(peer.client, address);
    }
    return budget;
  }
}

function spend({ frames, bytes }: Budget, count: number): boolean {
  return frames.take(1) && bytes.take(count);
}

/** The share of its budget that is left. */
function leftOf({ frames, bytes }: Budget): number {
  return Math.min(frames.fill, bytes.fill);
}
