import type { Digest } from '#shared/ids.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import type { PeerAddress } from '../peer-router/control-router.ts';
import type { Member } from '../placement/registry.ts';

export type RouteRequest = Extract<PeerControlMessage, { type: 'route' }>;

/** Whoever asked, with the prefix of its address, and whose share of the places it takes. */
export type RouteAsker = PeerAddress & Pick<Member, 'prefix' | 'client'>;

export interface Waiting {
  readonly requester: RouteAsker;
  readonly request: RouteRequest;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
}

/** What became of a request whose turn it was: it has to stay for want of volunteers, or for its client's share of them. */
export type Served = 'served' | 'waits' | 'over-share';

/**
 * Requests that wait for volunteers, never more than `maxLength`. Next is that of the client that holds and has been promised the
 * fewest sessions, and of several such the one that came first: who asks much waits for itself.
 */
export class RouteQueue {
  readonly #maxLength: number;
  readonly #sessionsOf: (client: string) => number;
  #waiting: readonly Waiting[] = [];

  constructor(maxLength: number, sessionsOf: (client: string) => number) {
    this.#maxLength = maxLength;
    this.#sessionsOf = sessionsOf;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /**
   * The request that has no room now: null where all have, this one where the queue is full, or the last one of a client that has
   * at least two more waiting.
   */
  add(waiting: Waiting): Waiting | null {
    const added = [...this.#waiting, waiting];
    let last: Waiting | null = null;
    if (added.length > this.#maxLength) {
      last = this.#lastOfMost(waiting) ?? waiting;
      added.splice(added.indexOf(last), 1);
    }
    this.#waiting = added;
    return last;
  }

  #lastOfMost({ requester: { client } }: Waiting): Waiting | undefined {
    const counts = new Map<string, number>();
    for (const { requester } of this.#waiting) counts.set(requester.client, (counts.get(requester.client) ?? 0) + 1);
    const most = Math.max(0, ...counts.values());
    if (most < (counts.get(client) ?? 0) + 2) return undefined;
    return this.#waiting.findLast(({ requester }) => counts.get(requester.client) === most);
  }

  /** In the order of their turns. */
  get #inTurn(): Waiting[] {
    const sessions = new Map<string, number>();
    const ofClient = (client: string): number => sessions.get(client) ?? this.#sessionsOf(client);
    const left = [...this.#waiting];
    const turns: Waiting[] = [];
    while (left.length > 0) {
      for (const { requester } of left) sessions.set(requester.client, ofClient(requester.client));
      const next = left.reduce((a, b) => (ofClient(b.requester.client) < ofClient(a.requester.client) ? b : a));
      left.splice(left.indexOf(next), 1);
      sessions.set(next.requester.client, ofClient(next.requester.client) + 1);
      turns.push(next);
    }
    return turns;
  }

  /** Those that are waited for. */
  get models(): ReadonlySet<Digest> {
    return new Set(this.#waiting.map(({ request }) => request.model));
  }

  /** Whose turn it is. */
  nextFor(model: Digest): Waiting | undefined {
    return this.#inTurn.find(({ request }) => request.model === model);
  }

  has(model: Digest): boolean {
    return this.lengthOf(model) > 0;
  }

  lengthOf(model: Digest): number {
    return this.#waiting.filter(({ request }) => request.model === model).length;
  }

  /** Takes out all that match and answers with them. */
  remove(matches: (waiting: Waiting) => boolean): Waiting[] {
    const removed = this.#waiting.filter(matches);
    this.#waiting = this.#waiting.filter((waiting) => !removed.includes(waiting));
    return removed;
  }

  /** Offers each request in turn to `serve`; one that has to stay keeps the later ones of its model, or of its client, waiting too. */
  drain(serve: (waiting: Waiting) => Served): void {
    const blocked = new Set<string>();
    for (const waiting of this.#inTurn) {
      const { model } = waiting.request;
      const { client } = waiting.requester;
      if (blocked.has(model) || blocked.has(client)) continue;
      const served = serve(waiting);
      if (served === 'served') this.remove((other) => other === waiting);
      else blocked.add(served === 'waits' ? model : client);
    }
  }

  /** Everyone who waits with their position in their model's line, from 1. */
  positions(): { waiting: Waiting; position: number }[] {
    const seen = new Map<Digest, number>();
    return this.#inTurn.map((waiting) => {
      const position = (seen.get(waiting.request.model) ?? 0) + 1;
      seen.set(waiting.request.model, position);
      return { waiting, position };
    });
  }
}
