import type { Ask } from '../ask.ts';
import type { Now } from '../clock.ts';
import { ChorusError, toChorusError } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import type { SignedSeat } from '../route/seat.ts';
import type { PeerMessage, RowsMessage } from '../wire/peer-message.ts';
import type { CutMessage } from '../wire/row-order.ts';
import { takeSeat, type OpenRequest } from './admission.ts';
import { EarlyAudits } from './early-audits.ts';
import { faultMessage } from './fault-message.ts';
import type { AuditMessage } from './replica-audit.ts';
import type { ReplicaConfig, ReplicaCounts, ReplicaEffect, ReplicaEvent } from './replica-event.ts';
import { ReplicaSession } from './replica-session.ts';
import { SeatBook } from './seat-book.ts';
import type { EndedSession, SessionHost } from './session-host.ts';
import { showRows } from './shown-rows.ts';

type OpenMessage = Extract<PeerMessage, { type: 'open' }>;

const MAX_ENDED = 1024;

/**
 * Every session that one loaded stage takes part in, as a state machine: `handle` takes an event and says what to do.
 * It runs rows in their order, one run at a time for each session; whatever goes wrong in one session ends that session
 * with a fault to the peer before it, and touches no other.
 */
export class ReplicaEngine {
  readonly #config: ReplicaConfig;
  readonly #host: SessionHost;
  readonly #sessions = new Map<SessionId, ReplicaSession>();
  readonly #seats = new SeatBook();
  readonly #early = new EarlyAudits();
  /** Ended sessions stay refused until their route has expired, so that it cannot be used twice. */
  readonly #ended = new Map<SessionId, EndedSession>();
  #effects: (ReplicaEffect | Ask<ReplicaEffect>)[] = [];
  #now: Now = { nowMs: 0, wallMs: 0 };
  #isAccepting = true;
  readonly #counts = { positions: 0, spansShadowed: 0, spansCommitted: 0 };

  constructor(config: ReplicaConfig) {
    this.#config = config;
    const now = (): Now => this.#now;
    this.#host = {
      config,
      show: showRows(config.loaded),
      get nowMs() {
        return now().nowMs;
      },
      get wallMs() {
        return now().wallMs;
      },
      perform: (effect) => this.#effects.push(effect),
      ask: (what, then) => {
        this.#effects.push({ type: 'ask', what, then: (reply, at) => this.#act(at, () => then(reply)) });
      },
      count: (what, by) => {
        this.#counts[what] += by;
      },
      ended: (session) => this.#onEnded(session),
    };
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get counts(): ReplicaCounts {
    return { ...this.#counts };
  }

  /** Bytes of rows kept for checks. */
  get keptBytes(): number {
    return [...this.#sessions.values()].reduce((sum, session) => sum + session.bytes, 0);
  }

  /** When a `time` event is due, on the clock of `nowMs`; Infinity with nothing to wait for. */
  get deadlineMs(): number {
    let deadline = Math.min(this.#early.deadlineMs, this.#seats.deadlineMs);
    for (const session of this.#sessions.values()) deadline = Math.min(deadline, session.deadlineMs);
    return deadline;
  }

  handle(event: ReplicaEvent, now: Now): (ReplicaEffect | Ask<ReplicaEffect>)[] {
    return this.#act(now, () => this.#dispatch(event));
  }

  #act(now: Now, act: () => void): (ReplicaEffect | Ask<ReplicaEffect>)[] {
    this.#now = now;
    this.#effects = [];
    act();
    return this.#effects;
  }

  #dispatch(event: ReplicaEvent): void {
    switch (event.type) {
      case 'message':
        return this.#onMessage(event.from, event.message);
      case 'seat':
        return this.#onSeat(event.seat);
      case 'unseat':
        return this.#seats.drop(event.session);
      case 'link-lost':
        return this.#onLinkLost(event.peer);
      case 'accept':
        this.#isAccepting = event.isAccepting;
        return;
      case 'stop':
        for (const session of this.#sessions.values()) session.fail(event.error, this.#config.self);
        return;
      case 'time':
        return this.#onTime();
      default:
        this.#sessions.get(event.session)?.onReply(event);
    }
  }

  #onMessage(from: PeerId, message: PeerMessage): void {
    switch (message.type) {
      case 'open':
        return this.#onOpen(from, message);
      case 'rows':
      case 'cut':
        return this.#onOrdered(from, message);
      case 'audit':
      case 'check':
      case 'challenge':
      case 'recall':
      case 'record':
        return this.#onAudit(from, message);
      case 'progress':
        return this.#onProgress(from, message);
      case 'close':
        this.#seats.forget({ session: message.session, from });
        return this.#sessions.get(message.session)?.onClose(from, message.reason);
      case 'fault':
        return this.#sessions.get(message.session)?.onFault(from, message);
      default:
        return;
    }
  }

  #onOpen(from: PeerId, { session, stage }: OpenMessage): void {
    const request = { session, stage, from };
    if (this.#sessions.get(session)?.seat.upstream === from) return;
    const seat = this.#seats.get(session);
    try {
      if (this.#sessions.has(session) || this.#ended.has(session)) {
        throw new ChorusError('unrouted', 'the route was used before');
      }
      if (seat === undefined) this.#seats.await(request, this.#now.nowMs);
      else this.#open(seat, request);
    } catch (error) {
      this.#refuse(from, session, stage, toChorusError(error));
    }
  }

  #onSeat(seat: SignedSeat): void {
    const { session } = seat;
    if (this.#sessions.has(session) || this.#ended.has(session)) return;
    for (const { from, stage } of this.#seats.give(seat, this.#now.nowMs)) {
      this.#onOpen(from, { type: 'open', session, stage });
    }
  }

  #open(signed: SignedSeat, request: OpenRequest): void {
    const { session: id } = request;
    const seat = takeSeat(signed, request, this.#config.self, this.#config.loaded, this.#now.wallMs);
    if (!this.#isAccepting) throw new ChorusError('all-busy', 'the volunteer takes no new sessions now');
    if (this.#sessions.size >= this.#config.slots) throw new ChorusError('all-busy', 'all slots are taken');
    this.#seats.drop(id);
    const session = new ReplicaSession(this.#host, seat, signed);
    this.#sessions.set(id, session);
    session.open();
    for (const message of this.#early.take(id, seat.requester)) session.onAudit(message);
  }

  #onOrdered(from: PeerId, message: RowsMessage | CutMessage): void {
    const session = this.#sessions.get(message.session);
    if (session === undefined) {
      // Frames that were on the way when a session ended need no answer: its end was told. And what stages send out
      // goes to requesters too; this peer may be one, on the same link.
      if (this.#ended.has(message.session) || (message.type === 'rows' && message.rows.kind !== 'tokens')) return;
      return this.#refuse(from, message.session, 0, new ChorusError('unknown-session', 'no such session here'));
    }
    if (session.seat.upstream !== from) {
      return this.#refuse(from, session.id, session.seat.stage, new ChorusError('unrouted', 'not your session'));
    }
    session.take(message);
  }

  #onAudit(from: PeerId, message: AuditMessage): void {
    const session = this.#sessions.get(message.session);
    if (session === undefined) return this.#onEarly(from, message);
    if (session.seat.requester !== from) {
      return this.#refuse(from, session.id, session.seat.stage, new ChorusError('unrouted', 'not your session'));
    }
    session.onAudit(message);
  }

  #onProgress(from: PeerId, { session: id, nonce }: Extract<PeerMessage, { type: 'progress' }>): void {
    const session = this.#sessions.get(id);
    if (session?.seat.requester === from) return session.onProgress(nonce);
    const progressed = { type: 'progressed', session: id, nonce, step: 'unknown', received: 0, sent: 0 } as const;
    this.#effects.push({ type: 'send', to: from, message: progressed });
  }

  #onEarly(from: PeerId, message: AuditMessage): void {
    const ended = this.#ended.get(message.session);
    // The end of a session that ended after its audit was told.
    if (ended !== undefined && message.type !== 'audit') return;
    if (ended?.untold && ended.seat.requester === from) {
      this.#effects.push({ type: 'send', to: from, message: ended.untold });
      return;
    }
    try {
      if (ended !== undefined || (message.type !== 'audit' && message.type !== 'check')) {
        throw new ChorusError('unknown-session', 'no such session here');
      }
      this.#early.hold(from, message, this.#now.nowMs);
    } catch (error) {
      this.#refuse(from, message.session, 0, toChorusError(error));
    }
  }

  #onLinkLost(peer: PeerId): void {
    this.#seats.forgetPeer(peer);
    this.#early.forget(peer);
    for (const session of this.#sessions.values()) session.onLinkLost(peer);
  }

  #onTime(): void {
    const { nowMs } = this.#now;
    for (const session of this.#sessions.values()) session.onTime();
    for (const { session, from, stage } of this.#seats.expire(nowMs)) {
      this.#refuse(from, session, stage, new ChorusError('unrouted', 'the server has given no seat for this session'));
    }
    for (const { session, from } of this.#early.expire(nowMs)) {
      this.#refuse(from, session, 0, new ChorusError('unknown-session', 'the session did not open here'));
    }
    for (const [id, { leaseEndMs }] of this.#ended) if (nowMs >= leaseEndMs) this.#ended.delete(id);
  }

  #onEnded({ id, seat, leaseEndMs, untold }: EndedSession): void {
    this.#sessions.delete(id);
    if (this.#ended.size === MAX_ENDED) this.#ended.delete(this.#ended.keys().next().value!);
    this.#ended.set(id, { id, seat, leaseEndMs, untold });
  }

  /** Tells a peer that what it sent has no session here; touches none. */
  #refuse(to: PeerId, session: SessionId, stage: number, { code, message }: ChorusError): void {
    const fault = faultMessage(session, stage, code, message, this.#config.self);
    this.#effects.push({ type: 'send', to, message: fault });
  }
}
