import type { Digest } from '#shared/ids.ts';
import type { PeerControlMessage } from '#shared/wire/control-message.ts';
import type { PeerAddress } from '../peer-router/control-router.ts';
import type { Member } from '../placement/registry.ts';

export type RouteRequest = Extract<PeerControlMessage, { type: 'route' }>;

/** Whoever asked, with the prefix of its address. */
export type RouteAsker = PeerAddress & Pick<Member, 'prefix'>;

export interface Waiting {
  readonly requester: RouteAsker;
  readonly request: RouteRequest;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
}

/** Requests that wait for volunteers: first come, first served within each model, and never more than `maxLength`. */
export class RouteQueue {
  readonly #maxLength: number;
  #waiting: readonly Waiting[] = [];

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** False if the queue is full. */
  add(waiting: Waiting): boolean {
    if (this.#waiting.length >= this.#maxLength) return false;
    this.#waiting = [...this.#waiting, waiting];
    return true;
  }

  /** Those that are waited for. */
  get models(): ReadonlySet<Digest> {
    return new Set(this.#waiting.map(({ request }) => request.model));
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

  /** Offers each request in turn to `serve`; one that has to stay keeps the later ones of its model waiting too. */
  drain(serve: (waiting: Waiting) => boolean): void {
    const blocked = new Set<Digest>();
    for (const waiting of this.#waiting) {
      const { model } = waiting.request;
      if (blocked.has(model)) continue;
      if (serve(waiting)) this.remove((other) => other === waiting);
      else blocked.add(model);
    }
  }

  /** Everyone who waits with their position in their model's line, from 1. */
  positions(): { waiting: Waiting; position: number }[] {
    const seen = new Map<Digest, number>();
    return this.#waiting.map((waiting) => {
      const position = (seen.get(waiting.request.model) ?? 0) + 1;
      seen.set(waiting.request.model, position);
      return { waiting, position };
    });
  }
}
