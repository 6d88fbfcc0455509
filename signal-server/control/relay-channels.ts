import type { Clock } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';
import { HANDSHAKE_TIMEOUT_MS, LINK_WINDOW_BYTES, MAX_LINKS, MAX_PIECE_BYTES } from '#shared/limits.ts';

/** What an end may have sent before the other has answered: the hello of a handshake fits many times. */
const EARLY_BYTES = 1024;
/** Channels that one peer may have opened at once: as many as it may have links, and as many again that are on their way. */
const MAX_OPENED = 2 * MAX_LINKS;
/** Half-open channels of one address, in multiples of what it may have to one peer. */
const PEERS_AT_ONCE = 8;

/** What is to become of a piece or a credit. */
export type Passage = 'pass' | 'unknown' | 'early' | 'beyond';

/** An end of a channel. */
export interface RelayEnd {
  readonly id: PeerId;
  /** Whose budgets it counts for; null for peers of the server's own, which have none. */
  readonly client: string | null;
}

interface RelayedChannel {
  readonly key: string;
  readonly number: number;
  readonly opener: RelayEnd;
  readonly other: PeerId;
  readonly openedAtMs: number;
  isAccepted: boolean;
  /** Bytes that went to either end and were not credited by it. */
  toOpener: number;
  toOther: number;
}

/**
 * The channels that lead over the relay: who opened each, whether the other end has answered, and what lies on it. An end that
 * never answers has accepted nothing, and gets no more than a greeting.
 */
export class RelayChannels {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #mostHalfOpen: number;
  readonly #channels = new Map<string, RelayedChannel>();
  readonly #ofPeer = new Map<PeerId, Set<RelayedChannel>>();
  /** By the address that opened them, and by that and the peer they lead to; the oldest first. */
  readonly #halfOpen = new Map<string, Set<RelayedChannel>>();

  /** `mostHalfOpen`: channels from one address to one peer that have not been answered yet. */
  constructor(clock: Pick<Clock, 'nowMs'>, mostHalfOpen: number) {
    this.#clock = clock;
    this.#mostHalfOpen = mostHalfOpen;
  }

  get size(): number {
    return this.#channels.size;
  }

  /** False where this address or peer has as many on their way as it may. A number that is in use begins anew. */
  open(from: RelayEnd, to: PeerId, number: number): boolean {
    const key = keyOf(from.id, to, number);
    const before = this.#channels.get(key);
    if (before !== undefined) this.#remove(before);
    const opened = [...(this.#ofPeer.get(from.id) ?? [])].filter(({ opener }) => opener.id === from.id).length;
    if (opened >= MAX_OPENED || !this.#hasRoom(from.client, to)) return false;
    const channel: RelayedChannel = {
      ...{ key, number, opener: from, other: to, openedAtMs: this.#clock.nowMs() },
      ...{ isAccepted: false, toOpener: 0, toOther: 0 },
    };
    this.#channels.set(key, channel);
    for (const id of [from.id, to]) addTo(this.#ofPeer, id, channel);
    for (const place of placesOf(channel)) addTo(this.#halfOpen, place, channel);
    return true;
  }

  /** Whether a piece of so many bytes may go. `early`: the other end has not answered; `beyond`: it has not taken what went before. */
  passData(from: PeerId, to: PeerId, number: number, bytes: number): Passage {
    const channel = this.#channels.get(keyOf(from, to, number));
    if (channel === undefined) return 'unknown';
    if (channel.opener.id !== from) {
      this.#accept(channel);
      channel.toOpener += bytes;
      return channel.toOpener > LINK_WINDOW_BYTES + MAX_PIECE_BYTES ? 'beyond' : 'pass';
    }
    channel.toOther += bytes;
    if (!channel.isAccepted && channel.toOther > EARLY_BYTES) return 'early';
    return channel.toOther > LINK_WINDOW_BYTES + MAX_PIECE_BYTES ? 'beyond' : 'pass';
  }

  /** Whether the credit that `from` gives may go. */
  passCredit(from: PeerId, to: PeerId, number: number, bytes: number): Passage {
    const channel = this.#channels.get(keyOf(from, to, number));
    if (channel === undefined) return 'unknown';
    if (channel.opener.id === from) channel.toOpener = Math.max(0, channel.toOpener - bytes);
    else {
      this.#accept(channel);
      channel.toOther = Math.max(0, channel.toOther - bytes);
    }
    return 'pass';
  }

  /** False if there was no such channel. */
  close(from: PeerId, to: PeerId, number: number): boolean {
    const channel = this.#channels.get(keyOf(from, to, number));
    if (channel !== undefined) this.#remove(channel);
    return channel !== undefined;
  }

  /** Takes out the channels to `receiver` of the one address for which most bytes wait there, and names their other ends. */
  closeHeaviest(receiver: PeerId, clientOf: (id: PeerId) => string | null): { peer: PeerId; number: number }[] {
    const waiting = new Map<string, { bytes: number; channels: RelayedChannel[] }>();
    for (const channel of this.#ofPeer.get(receiver) ?? []) {
      const isOpener = channel.opener.id === receiver;
      const sender = isOpener ? channel.other : channel.opener.id;
      const client = clientOf(sender) ?? `own ${sender}`;
      const sum = waiting.get(client) ?? { bytes: 0, channels: [] };
      sum.bytes += isOpener ? channel.toOpener : channel.toOther;
      sum.channels.push(channel);
      waiting.set(client, sum);
    }
    const [heaviest] = [...waiting.values()].sort((a, b) => b.bytes - a.bytes);
    for (const channel of heaviest?.channels ?? []) this.#remove(channel);
    return (heaviest?.channels ?? []).map(({ opener, other, number }) => ({
      peer: opener.id === receiver ? other : opener.id,
      number,
    }));
  }

  /** The peer is gone, and all its channels with it. */
  forget(peer: PeerId): void {
    for (const channel of [...(this.#ofPeer.get(peer) ?? [])]) this.#remove(channel);
  }

  #hasRoom(client: string | null, to: PeerId): boolean {
    if (client === null) return true;
    const places: [string, number][] = [
      [client, PEERS_AT_ONCE * this.#mostHalfOpen],
      [`${client} ${to}`, this.#mostHalfOpen],
    ];
    return places.every(([place, most]) => {
      this.#dropStale(place);
      return (this.#halfOpen.get(place)?.size ?? 0) < most;
    });
  }

  /** One that was not answered within a handshake's time will not be. */
  #dropStale(place: string): void {
    for (const channel of this.#halfOpen.get(place) ?? []) {
      if (this.#clock.nowMs() - channel.openedAtMs <= HANDSHAKE_TIMEOUT_MS) return;
      this.#remove(channel);
    }
  }

  #accept(channel: RelayedChannel): void {
    if (channel.isAccepted) return;
    channel.isAccepted = true;
    for (const place of placesOf(channel)) removeFrom(this.#halfOpen, place, channel);
  }

  #remove(channel: RelayedChannel): void {
    this.#channels.delete(channel.key);
    for (const id of [channel.opener.id, channel.other]) removeFrom(this.#ofPeer, id, channel);
    for (const place of placesOf(channel)) removeFrom(this.#halfOpen, place, channel);
  }
}

/** The same at both ends. */
function keyOf(a: PeerId, b: PeerId, number: number): string {
  return a < b ? `${a}${b}${number}` : `${b}${a}${number}`;
}

function placesOf({ opener: { client }, other }: RelayedChannel): string[] {
  return client === null ? [] : [client, `${client} ${other}`];
}

function addTo<Key>(sets: Map<Key, Set<RelayedChannel>>, key: Key, channel: RelayedChannel): void {
  const set = sets.get(key) ?? new Set();
  set.add(channel);
  sets.set(key, set);
}

function removeFrom<Key>(sets: Map<Key, Set<RelayedChannel>>, key: Key, channel: RelayedChannel): void {
  const set = sets.get(key);
  set?.delete(channel);
  if (set?.size === 0) sets.delete(key);
}
