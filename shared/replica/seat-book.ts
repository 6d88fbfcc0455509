import { ChorusError } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import { SEAT_WAIT_MS } from '../limits.ts';
import { leaseMs } from '../route/route.ts';
import type { SignedSeat } from '../route/seat.ts';
import type { OpenRequest } from './admission.ts';

/** Seats of sessions that nobody has opened yet. A server gives no more than the slots that a volunteer has, again and again. */
const MAX_SEATS = 1024;
/** Opens that are ahead of their seat, of one peer and of all; they wait for milliseconds, so only a flood gets here. */
const MAX_WAITING_OF_PEER = 8;
const MAX_WAITING = 64;

/** The seats that the server has given this volunteer, and the sessions that others open here before it has. */
export class SeatBook {
  readonly #seats = new Map<SessionId, { readonly seat: SignedSeat; readonly untilMs: number }>();
  readonly #waiting = new Map<string, { readonly request: OpenRequest; readonly byMs: number }>();

  /** When an open has waited long enough. */
  get deadlineMs(): number {
    return Math.min(...[...this.#waiting.values()].map(({ byMs }) => byMs));
  }

  /** Keeps a seat as long as its route is good; the opens that waited for it are no longer kept. */
  give(seat: SignedSeat, nowMs: number): OpenRequest[] {
    for (const [session, { untilMs }] of this.#seats) if (untilMs <= nowMs) this.#seats.delete(session);
    if (this.#seats.size >= MAX_SEATS) this.#seats.delete(this.#seats.keys().next().value!);
    this.#seats.set(seat.session, { seat, untilMs: nowMs + leaseMs(seat) });
    const waiting = [...this.#waiting.values()].filter(({ request }) => request.session === seat.session);
    for (const { request } of waiting) this.forget(request);
    return waiting.map(({ request }) => request);
  }

  get(session: SessionId): SignedSeat | undefined {
    return this.#seats.get(session)?.seat;
  }

  /** The session was opened, and its seat counts once, or the server took it back. */
  drop(session: SessionId): void {
    this.#seats.delete(session);
  }

  /** Keeps an open until its seat is there. Throws `rate-limited` for more than may wait. */
  await(request: OpenRequest, nowMs: number): void {
    const key = keyOf(request);
    if (this.#waiting.has(key)) return;
    const own = [...this.#waiting.values()].filter(({ request: { from } }) => from === request.from).length;
    if (own >= MAX_WAITING_OF_PEER || this.#waiting.size >= MAX_WAITING) {
      throw new ChorusError('rate-limited', 'too many sessions at once that the server has said nothing of');
    }
    this.#waiting.set(key, { request, byMs: nowMs + SEAT_WAIT_MS });
  }

  /** Who opened it has closed it. */
  forget(request: Pick<OpenRequest, 'session' | 'from'>): void {
    this.#waiting.delete(keyOf(request));
  }

  /** `peer` is gone. */
  forgetPeer(peer: PeerId): void {
    for (const { request } of [...this.#waiting.values()]) if (request.from === peer) this.forget(request);
  }

  /** Opens that have waited in vain. */
  expire(nowMs: number): OpenRequest[] {
    const late = [...this.#waiting.values()].filter(({ byMs }) => nowMs >= byMs).map(({ request }) => request);
    for (const request of late) this.forget(request);
    return late;
  }
}

function keyOf({ session, from }: Pick<OpenRequest, 'session' | 'from'>): string {
  return `${session} ${from}`;
}
