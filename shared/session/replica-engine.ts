import { ChorusError, toChorusError, type ErrorCode } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import { GAP_TIMEOUT_MS, MAX_QUEUED_ROWS, OPEN_TIMEOUT_MS, RUN_TIMEOUT_MS, SESSION_IDLE_MS } from '../limits.ts';
import type { HopTiming, PeerMessage, RowsMessage } from '../wire/peer-message.ts';
import { checkRows, takeSeat, type LoadedRange, type Opening, type Seat } from './admission.ts';
import type { Rows, RunResult } from './compute.ts';
import { leaseMs, type Envelope } from './route.ts';
import { RowOrder, type CutMessage, type OrderedMessage } from './row-order.ts';
import { checkDigest, rowsMessage } from './rows-message.ts';

type OpenMessage = Extract<PeerMessage, { type: 'open' }>;

/** One moment on both clocks. */
export interface Now {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** Things the engine asked for are answered with an event that carries the session's id. */
export type ReplicaEvent =
  | { readonly type: 'message'; readonly from: PeerId; readonly message: PeerMessage }
  /** The envelope of an `open` is the server's own and holds this route. */
  | { readonly type: 'verified'; readonly opening: Opening; readonly envelope: Envelope }
  | { readonly type: 'not-verified'; readonly opening: Omit<Opening, 'route'>; readonly error: ChorusError }
  | { readonly type: 'opened' | 'cut-done'; readonly session: SessionId }
  | { readonly type: 'connected'; readonly session: SessionId; readonly transport: HopTiming['onward'] }
  | { readonly type: 'ran'; readonly session: SessionId; readonly result: RunResult }
  | {
      readonly type: 'failed';
      readonly session: SessionId;
      readonly step: 'compute' | 'connect';
      readonly error: ChorusError;
    }
  | { readonly type: 'link-lost'; readonly peer: PeerId }
  /** Whether new sessions are taken. */
  | { readonly type: 'accept'; readonly isAccepting: boolean }
  /** Every session ends with this fault: the worker died, or the volunteer leaves. */
  | { readonly type: 'stop'; readonly error: ChorusError }
  | { readonly type: 'time' };

export type ReplicaEffect =
  | { readonly type: 'verify'; readonly opening: Omit<Opening, 'route'>; readonly envelope: Envelope }
  | { readonly type: 'connect'; readonly session: SessionId; readonly peer: PeerId; readonly webrtc: boolean }
  | { readonly type: 'send'; readonly to: PeerId; readonly message: PeerMessage }
  | { readonly type: 'open'; readonly session: SessionId; readonly capacity: number }
  | { readonly type: 'run'; readonly session: SessionId; readonly input: Rows; readonly logitsFrom: number }
  | { readonly type: 'cut'; readonly session: SessionId; readonly position: number }
  | { readonly type: 'close'; readonly session: SessionId };

export interface ReplicaConfig {
  readonly self: PeerId;
  readonly loaded: LoadedRange;
  /** Sessions at once. */
  readonly slots: number;
}

interface Session {
  readonly id: SessionId;
  readonly seat: Seat;
  readonly capacity: number;
  readonly envelope: Envelope;
  readonly leaseEndMs: number;
  readonly order: RowOrder;
  /** In order, not yet given to compute. */
  /** Of the link forward. */
  onward: HopTiming['onward'];
  queue: OrderedMessage[];
  running: OrderedMessage | null;
  /** What must be there before the session is open: its KV, the link forward. */
  readonly missing: Set<'compute' | 'forward'>;
  /** When whatever the session waits for is taken as lost. */
  openByMs: number;
  runByMs: number;
  gapByMs: number;
  idleAtMs: number;
}

/** Route checks under way at once; they take milliseconds, so only a flood gets here. */
const MAX_VERIFYING = 32;
const MAX_ENDED = 1024;

/**
 * Every session that one loaded stage takes part in, as a state machine: `handle` takes an event and says what to do.
 * It runs rows in their order, one run at a time for each session, and passes results on; whatever goes wrong in one
 * session ends that session with a fault to the peer before it, and touches no other.
 */
export class ReplicaEngine {
  readonly #config: ReplicaConfig;
  readonly #sessions = new Map<SessionId, Session>();
  readonly #verifying = new Set<string>();
  /** Ended sessions stay refused until their route has expired, so that it cannot be used twice. */
  readonly #ended = new Map<SessionId, number>();
  #effects: ReplicaEffect[] = [];
  #now: Now = { nowMs: 0, wallMs: 0 };
  #isAccepting = true;
  #served = 0;

  constructor(config: ReplicaConfig) {
    this.#config = config;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Positions run so far. */
  get positionsServed(): number {
    return this.#served;
  }

  /** When a `time` event is due, on the clock of `nowMs`; Infinity with nothing to wait for. */
  get deadlineMs(): number {
    let deadline = Infinity;
    for (const session of this.#sessions.values()) deadline = Math.min(deadline, ...deadlinesOf(session));
    return deadline;
  }

  handle(event: ReplicaEvent, now: Now): ReplicaEffect[] {
    this.#now = now;
    this.#effects = [];
    this.#dispatch(event);
    return this.#effects;
  }

  #dispatch(event: ReplicaEvent): void {
    switch (event.type) {
      case 'message':
        return this.#onMessage(event.from, event.message);
      case 'verified':
        return this.#onVerified(event.opening, event.envelope);
      case 'not-verified':
        if (!this.#verifying.delete(verifyingKey(event.opening))) return;
        return this.#refuse(event.opening.from, event.opening.session, event.opening.stage, event.error);
      case 'link-lost':
        return this.#onLinkLost(event.peer);
      case 'accept':
        this.#isAccepting = event.isAccepting;
        return;
      case 'stop':
        for (const session of this.#sessions.values()) this.#fail(session, event.error, this.#config.self);
        return;
      case 'time':
        return this.#onTime();
      case 'opened':
      case 'connected':
      case 'cut-done':
      case 'ran':
      case 'failed': {
        const session = this.#sessions.get(event.session);
        if (session !== undefined) this.#onDone(session, event);
      }
    }
  }

  #onMessage(from: PeerId, message: PeerMessage): void {
    switch (message.type) {
      case 'open':
        return this.#onOpen(from, message);
      case 'rows':
        // Logits go to requesters; this peer may be one too, on the same link.
        if (message.rows.kind === 'logits') return;
        return this.#onOrdered(from, message);
      case 'cut':
        return this.#onOrdered(from, message);
      case 'close': {
        this.#verifying.delete(verifyingKey({ session: message.session, from }));
        const session = this.#sessions.get(message.session);
        if (session?.seat.upstream === from) this.#end(session, message.reason);
        return;
      }
      case 'fault': {
        const session = this.#sessions.get(message.session);
        if (session === undefined || session.seat.forward?.peer !== from) return;
        this.#send(session.seat.upstream, message);
        this.#end(session, message.message);
        return;
      }
      case 'ready':
      case 'ping':
      case 'pong':
        return;
    }
  }

  #onOpen(from: PeerId, { session, stage, route: envelope }: OpenMessage): void {
    const opening = { session, stage, from };
    if (this.#sessions.get(session)?.seat.upstream === from || this.#verifying.has(verifyingKey(opening))) return;
    if (this.#verifying.size === MAX_VERIFYING) {
      return this.#refuse(from, session, stage, new ChorusError('rate-limited', 'too many sessions at once'));
    }
    this.#verifying.add(verifyingKey(opening));
    this.#effects.push({ type: 'verify', opening, envelope });
  }

  #onVerified(opening: Opening, envelope: Envelope): void {
    // Closed, or left by its opener, in the meantime.
    if (!this.#verifying.delete(verifyingKey(opening))) return;
    const { nowMs, wallMs } = this.#now;
    try {
      const seat = takeSeat(opening, this.#config.self, this.#config.loaded, wallMs);
      if (this.#sessions.has(opening.session) || this.#ended.has(opening.session)) {
        throw new ChorusError('unrouted', 'the route was used before');
      }
      if (!this.#isAccepting) throw new ChorusError('all-busy', 'the volunteer takes no new sessions now');
      if (this.#sessions.size >= this.#config.slots) throw new ChorusError('all-busy', 'all slots are taken');
      this.#open(seat, opening, envelope, nowMs + leaseMs(opening.route));
    } catch (error) {
      this.#refuse(opening.from, opening.session, opening.stage, toChorusError(error));
    }
  }

  #open(seat: Seat, { session: id, route }: Opening, envelope: Envelope, leaseEndMs: number): void {
    const { nowMs } = this.#now;
    const session: Session = {
      id,
      seat,
      envelope,
      capacity: route.capacity,
      leaseEndMs,
      order: new RowOrder(),
      onward: 'relay',
      queue: [],
      running: null,
      missing: new Set(['compute']),
      openByMs: nowMs + OPEN_TIMEOUT_MS,
      runByMs: Infinity,
      gapByMs: Infinity,
      idleAtMs: nowMs + SESSION_IDLE_MS,
    };
    this.#sessions.set(id, session);
    this.#effects.push({ type: 'open', session: id, capacity: route.capacity });
    if (seat.forward === null) return;
    session.missing.add('forward');
    this.#effects.push({ type: 'connect', session: id, peer: seat.forward.peer, webrtc: seat.forward.webrtc });
  }

  #onDone(
    session: Session,
    event: Extract<ReplicaEvent, { type: 'opened' | 'connected' | 'cut-done' | 'ran' | 'failed' }>,
  ): void {
    switch (event.type) {
      case 'opened':
        session.missing.delete('compute');
        return this.#onOpened(session);
      case 'connected':
        session.onward = event.transport;
        session.missing.delete('forward');
        return this.#onOpened(session);
      case 'failed':
        return this.#fail(session, event.error, event.step === 'compute' ? this.#config.self : volunteerAhead(session));
      case 'ran':
        if (session.running?.type === 'rows') this.#passOn(session, session.running, event.result);
        return this.#runNext(session);
      case 'cut-done':
        if (session.running?.type === 'cut') this.#forward(session, session.running);
        return this.#runNext(session);
    }
  }

  #onOpened(session: Session): void {
    if (session.missing.size > 0) return;
    session.openByMs = Infinity;
    const { forward } = session.seat;
    if (forward !== null) {
      this.#forward(
        session,
        forward.isRequester
          ? { type: 'ready', session: session.id }
          : { type: 'open', session: session.id, stage: forward.stage, route: session.envelope },
      );
    }
    this.#runNext(session);
  }

  #onOrdered(from: PeerId, message: RowsMessage | CutMessage): void {
    const session = this.#sessions.get(message.session);
    if (session === undefined) {
      // Frames that were on the way when a session ended need no answer: its end was told.
      if (this.#ended.has(message.session)) return;
      return this.#refuse(from, message.session, 0, new ChorusError('unknown-session', 'no such session here'));
    }
    if (session.seat.upstream !== from) {
      return this.#refuse(from, session.id, session.seat.stage, new ChorusError('unrouted', 'not your session'));
    }
    session.idleAtMs = this.#now.nowMs + SESSION_IDLE_MS;
    try {
      if (message.type === 'rows') {
        checkRows(message, session.seat, this.#config.loaded, session.capacity);
        checkDigest(message);
      }
      for (const next of session.order.accept(message)) this.#enqueue(session, next);
    } catch (error) {
      return this.#fail(session, toChorusError(error), session.seat.stage === 0 ? null : session.seat.upstream);
    }
    session.gapByMs = session.order.isWaiting ? Math.min(session.gapByMs, this.#now.nowMs + GAP_TIMEOUT_MS) : Infinity;
    this.#runNext(session, session.running);
  }

  #enqueue(session: Session, message: OrderedMessage): void {
    if (message.type === 'cut') {
      // Rows that the cut makes worthless need not run; a cut that waits before it still needs those before that one.
      session.queue = session.queue.filter(
        (queued) => queued.type === 'cut' || queued.epoch < message.epoch - 1 || queued.rows.start < message.position,
      );
    }
    if (session.queue.length >= MAX_QUEUED_ROWS) {
      throw new ChorusError('rate-limited', 'more rows wait than a session may have on the way');
    }
    session.queue.push(message);
  }

  /** Starts what comes next; `running` is what still runs and so must end first. */
  #runNext(session: Session, running: OrderedMessage | null = null): void {
    session.running = running;
    if (running !== null || session.missing.size > 0) return;
    const next = session.queue.shift();
    session.running = next ?? null;
    session.runByMs = next === undefined ? Infinity : this.#now.nowMs + RUN_TIMEOUT_MS;
    if (next?.type === 'cut') this.#effects.push({ type: 'cut', session: session.id, position: next.position });
    if (next?.type === 'rows') {
      this.#effects.push({ type: 'run', session: session.id, input: next.rows, logitsFrom: next.logitsFrom });
    }
  }

  #passOn(session: Session, input: RowsMessage, { output, timings }: RunResult): void {
    this.#served += input.rows.count;
    const { seat, id } = session;
    if (seat.forward === null) return;
    const { epoch, sequence, chunk, logitsFrom } = input;
    const hops = [...input.hops, { ...timings, stage: seat.stage, onward: session.onward }];
    const { stage } = seat.forward;
    this.#forward(session, rowsMessage({ session: id, stage, epoch, sequence, chunk, logitsFrom, rows: output, hops }));
  }

  #onLinkLost(peer: PeerId): void {
    for (const key of this.#verifying) if (key.endsWith(peer)) this.#verifying.delete(key);
    for (const session of this.#sessions.values()) {
      if (session.seat.upstream === peer) {
        this.#end(session, 'the peer before this stage is gone');
      } else if (session.seat.forward?.peer === peer && !session.missing.has('forward')) {
        this.#fail(session, new ChorusError('link-lost', 'the next peer is gone'), volunteerAhead(session));
      }
    }
  }

  #onTime(): void {
    const { nowMs } = this.#now;
    const { self } = this.#config;
    for (const session of this.#sessions.values()) {
      const { seat } = session;
      const timeout = (message: string) => new ChorusError('timeout', message);
      if (nowMs >= session.runByMs) this.#fail(session, timeout('a run took too long'), self);
      else if (nowMs >= session.openByMs) this.#fail(session, timeout('opening took too long'), this.#slowest(session));
      else if (nowMs >= session.gapByMs) {
        const blamed = seat.stage === 0 ? null : seat.upstream;
        this.#fail(session, new ChorusError('gap', 'messages in between never came'), blamed);
      } else if (nowMs >= session.leaseEndMs) this.#fail(session, timeout('the lease has ended'), null);
      else if (nowMs >= session.idleAtMs) this.#fail(session, timeout('the session was idle too long'), null);
    }
    for (const [id, endMs] of this.#ended) if (nowMs >= endMs) this.#ended.delete(id);
  }

  #slowest(session: Session): PeerId | null {
    return session.missing.has('compute') ? this.#config.self : volunteerAhead(session);
  }

  /** Ends a session with a fault to the peer before it; `volunteer` is held to be at fault. */
  #fail(session: Session, error: ChorusError, volunteer: PeerId | null): void {
    const fault = faultMessage(session.id, session.seat.stage, error.code, error.message, volunteer);
    this.#send(session.seat.upstream, fault);
    this.#end(session, error.message);
  }

  /** Ends a session here and after here. */
  #end(session: Session, reason: string): void {
    this.#sessions.delete(session.id);
    if (this.#ended.size === MAX_ENDED) this.#ended.delete(this.#ended.keys().next().value!);
    this.#ended.set(session.id, session.leaseEndMs);
    if (session.missing.size === 0) this.#forward(session, { type: 'close', session: session.id, reason });
    this.#effects.push({ type: 'close', session: session.id });
  }

  /** Tells a peer that what it sent has no session here; touches none. */
  #refuse(peer: PeerId, session: SessionId, stage: number, { code, message }: ChorusError): void {
    this.#send(peer, faultMessage(session, stage, code, message, this.#config.self));
  }

  #forward(session: Session, message: PeerMessage): void {
    if (session.seat.forward !== null) this.#send(session.seat.forward.peer, message);
  }

  #send(to: PeerId, message: PeerMessage): void {
    this.#effects.push({ type: 'send', to, message });
  }
}

function faultMessage(
  session: SessionId,
  stage: number,
  code: ErrorCode,
  message: string,
  volunteer: PeerId | null,
): PeerMessage {
  return { type: 'fault', session, stage, code, message: message.slice(0, 300), volunteer };
}

/** The volunteer after this stage; null where the requester is. */
function volunteerAhead({ seat: { forward } }: Session): PeerId | null {
  return forward === null || forward.isRequester ? null : forward.peer;
}

function deadlinesOf(session: Session): number[] {
  return [session.openByMs, session.runByMs, session.gapByMs, session.idleAtMs, session.leaseEndMs];
}

function verifyingKey({ session, from }: Pick<Opening, 'session' | 'from'>): string {
  return `${session} ${from}`;
}
