import { OPENING_BYTES } from '../check/statement-codec.ts';
import type { Span } from '../check/statement.ts';
import { ChorusError, toChorusError, type ErrorCode } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import { GAP_TIMEOUT_MS, MAX_QUEUED_ROWS, OPEN_TIMEOUT_MS, RUN_TIMEOUT_MS, SESSION_IDLE_MS } from '../limits.ts';
import type { PeerMessage, RowsMessage } from '../wire/peer-message.ts';
import { checkRows, inputOf, type Opening, type Seat } from './admission.ts';
import { Backlog, bytesOf } from './backlog.ts';
import type { RunResult } from './compute.ts';
import { Onward } from './onward.ts';
import { ReplicaAudit } from './replica-audit.ts';
import type { ReplicaConfig, SessionEffect, SessionReply } from './replica-event.ts';
import { ReplicaRecords } from './replica-records.ts';
import { leaseMs, type Envelope, type Route } from './route.ts';
import { RowOrder, type CutMessage, type OrderedMessage } from './row-order.ts';
import { checkDigest, chunkEnd, rowsMessage } from './rows-message.ts';
import type { Show } from './shown-rows.ts';
import { StageRecord } from './stage-record.ts';

export type AuditMessage = Extract<PeerMessage, { type: 'audit' | 'check' | 'challenge' | 'recall' | 'record' }>;

/** What a session has the engine do. */
export interface SessionHost {
  readonly config: ReplicaConfig;
  readonly show: Show;
  readonly nowMs: number;
  readonly wallMs: number;
  perform(effect: SessionEffect): void;
  /** Positions were run, or a commit was sent. */
  count(what: 'positions' | 'spansShadowed' | 'spansCommitted', by: number): void;
  /** The session is over and gives back what it holds. */
  ended(session: ReplicaSession): void;
}

/** What compute is at. */
type Job = OrderedMessage | { readonly type: 'again'; readonly end: number };

/**
 * One session of one stage. Its rows and cuts take effect in the order their sender meant; a primary runs rows as they
 * come and passes results on, a shadow keeps them until the requester has them checked. Whatever goes wrong ends the
 * session with a fault to the peer before it.
 */
export class ReplicaSession {
  readonly id: SessionId;
  readonly seat: Seat;
  readonly leaseEndMs: number;
  readonly #host: SessionHost;
  readonly #route: Route;
  readonly #envelope: Envelope;
  readonly #order = new RowOrder();
  readonly #record: StageRecord;
  readonly #audit: ReplicaAudit;
  readonly #records: ReplicaRecords;
  readonly #onward: Onward;
  /** Of rows recalled, and of records. */
  readonly #backlog = new Backlog();
  /** In order, not yet taken up. */
  #queue: OrderedMessage[] = [];
  #running: Job | null = null;
  /** What must be there before the session is open: its KV, the link forward. */
  readonly #missing = new Set<'compute' | 'forward'>(['compute']);
  /** When whatever the session waits for is taken as lost. */
  #openByMs: number;
  #runByMs = Infinity;
  #gapByMs = Infinity;
  #idleAtMs: number;
  #isOver = false;
  #untold: PeerMessage | null = null;

  constructor(host: SessionHost, seat: Seat, { session, route }: Opening, envelope: Envelope) {
    const { nowMs, config } = host;
    this.id = session;
    this.seat = seat;
    this.leaseEndMs = nowMs + leaseMs(route);
    this.#host = host;
    this.#route = route;
    this.#envelope = envelope;
    this.#record = new StageRecord(inputOf(config.loaded).kind);
    this.#audit = new ReplicaAudit(seat, config.publicKey, config.random(OPENING_BYTES));
    this.#records = new ReplicaRecords(config);
    this.#onward = new Onward(session, seat, (effect) => this.#perform(effect));
    if (seat.forward !== null) this.#missing.add('forward');
    this.#openByMs = nowMs + OPEN_TIMEOUT_MS;
    this.#idleAtMs = nowMs + SESSION_IDLE_MS;
  }

  /** Asks for what the session needs. */
  open(): void {
    this.#perform({ type: 'open', session: this.id, capacity: this.#route.capacity });
    this.#onward.connect();
  }

  get deadlineMs(): number {
    return Math.min(this.#openByMs, this.#runByMs, this.#gapByMs, this.#idleAtMs, this.leaseEndMs);
  }

  /** Why it ended, for a requester that it does not know yet how to reach. */
  get untold(): PeerMessage | null {
    return this.#untold;
  }

  /** Bytes of rows it keeps. */
  get bytes(): number {
    return this.#record.bytes + this.#audit.bytes;
  }

  /** Takes rows or a cut from the peer before this stage. */
  take(message: RowsMessage | CutMessage): void {
    const { nowMs, config } = this.#host;
    this.#idleAtMs = nowMs + SESSION_IDLE_MS;
    try {
      if (message.type === 'rows') {
        checkRows(message, this.seat, config.loaded, this.#route.capacity);
        checkDigest(message);
      }
      for (const next of this.#order.accept(message)) this.#enqueue(next);
    } catch (error) {
      return this.fail(toChorusError(error), this.seat.stage === 0 ? null : this.seat.upstream);
    }
    this.#gapByMs = this.#order.isWaiting ? Math.min(this.#gapByMs, nowMs + GAP_TIMEOUT_MS) : Infinity;
    this.#next();
  }

  /** Takes what the requester says of the check. */
  onAudit(message: AuditMessage): void {
    this.#idleAtMs = this.#host.nowMs + SESSION_IDLE_MS;
    try {
      switch (message.type) {
        case 'audit':
          this.#audit.audit(message);
          break;
        case 'check':
          this.#audit.check(message);
          break;
        case 'challenge': {
          const verifying = this.#audit.challenge(message);
          if (verifying !== null) this.#perform({ type: 'verify-signature', session: this.id, ...verifying });
          break;
        }
        case 'recall':
          return this.#recall(message.start, message.end);
        case 'record':
          return this.#signRecord(message);
      }
    } catch (error) {
      return this.fail(toChorusError(error), null);
    }
    this.#next();
  }

  onFault(from: PeerId, message: Extract<PeerMessage, { type: 'fault' }>): void {
    if (this.seat.forward?.peer === from) {
      this.#send(this.seat.upstream, message);
      this.end(message.message);
    } else this.#onward.drop(from);
  }

  onClose(from: PeerId, reason: string): void {
    const { upstream, requester, role } = this.seat;
    if (from === upstream) this.end(reason);
    // Whoever feeds a shadow that the requester gave up need not go on with it.
    else if (from === requester && role === 'shadow') this.fail(new ChorusError('cancelled', reason), null);
  }

  onReply(event: SessionReply): void {
    switch (event.type) {
      case 'opened':
        this.#missing.delete('compute');
        return this.#onOpened();
      case 'connected':
        if (this.#onward.connected(event.peer, event.transport) && this.#missing.delete('forward')) this.#onOpened();
        return;
      case 'connect-failed':
        if (this.seat.forward?.peer === event.peer) return this.fail(event.error, this.#onward.volunteer);
        return this.#onward.drop(event.peer);
      case 'failed':
        return this.fail(event.error, this.#host.config.self);
      case 'ran':
        return this.#onRan(event.result);
      case 'cut-done':
        if (this.#running?.type === 'cut') this.#onCut(this.#running);
        this.#running = null;
        return this.#next();
      case 'signed':
        return this.#onSigned(event, event.signature);
      case 'signature-verified':
        return this.#onVerified(event.index, event.isGood);
      case 'sent':
        if (event.peer === this.seat.requester) this.#backlog.remove(event.peer, event.bytes);
        else this.#onward.sent(event.peer, event.bytes);
    }
  }

  #onOpened(): void {
    if (this.#missing.size > 0) return;
    this.#openByMs = Infinity;
    const { forward } = this.seat;
    if (forward?.isRequester) this.#send(forward.peer, { type: 'ready', session: this.id });
    else if (forward !== null) {
      this.#onward.send({ type: 'open', session: this.id, stage: forward.stage, route: this.#envelope });
    }
    this.#next();
  }

  #enqueue(message: OrderedMessage): void {
    if (message.type === 'cut') {
      // Rows that the cut makes worthless need not run; a cut that waits before it still needs those before that one.
      this.#queue = this.#queue.filter(
        (queued) => queued.type === 'cut' || queued.epoch < message.epoch - 1 || queued.rows.start < message.position,
      );
    }
    // A shadow's run takes as long as its primary's of a whole chunk, and what comes meanwhile is no flood.
    const most = this.seat.role === 'shadow' ? this.#route.capacity : MAX_QUEUED_ROWS;
    if (this.#queue.length >= most) {
      throw new ChorusError('rate-limited', 'more rows wait than a session may have on the way');
    }
    this.#queue.push(message);
  }

  /** Takes up what can be: rows and cuts while nothing runs, then spans that wait for them. */
  #next(): void {
    if (this.#isOver) return;
    while (this.#running === null && this.#missing.size === 0) {
      const message = this.#queue.shift();
      if (message === undefined) break;
      this.#start(message);
    }
    this.#commit();
    if (this.#running === null) this.#runByMs = Infinity;
  }

  #start(message: OrderedMessage): void {
    if (message.type === 'cut') {
      if (message.position >= this.#record.computed) return this.#onCut(message);
      this.#run(message);
      return this.#perform({ type: 'cut', session: this.id, position: message.position });
    }
    const { rows: input, logitsFrom } = message;
    this.#record.take(input, logitsFrom);
    if (this.seat.role === 'shadow') return;
    this.#run(message);
    this.#perform({ type: 'run', session: this.id, input, logitsFrom });
  }

  #run(job: Job): void {
    this.#running = job;
    this.#runByMs = this.#host.nowMs + RUN_TIMEOUT_MS;
  }

  #onCut(cut: CutMessage): void {
    this.#record.cut(cut.position);
    this.#audit.cut(cut.epoch, cut.position);
    this.#onward.send(cut);
  }

  #onRan({ output, timings }: RunResult): void {
    const job = this.#running;
    this.#running = null;
    if (job === null || job.type === 'cut') return;
    const { seat, id } = this;
    const end = job.type === 'again' ? job.end : job.rows.start + job.rows.count;
    this.#host.count('positions', end - this.#record.computed);
    try {
      this.#record.complete(end, output);
    } catch (error) {
      return this.fail(toChorusError(error), this.#host.config.self);
    }
    if (job.type === 'rows' && seat.forward !== null) {
      const { epoch, sequence, chunk, logitsFrom } = job;
      const hops = [...job.hops, { ...timings, stage: seat.stage, onward: this.#onward.transport }];
      const { stage } = seat.forward;
      this.#onward.send(rowsMessage({ session: id, stage, epoch, sequence, chunk, logitsFrom, rows: output, hops }));
    }
    this.#next();
  }

  /** Commits to the spans that are computed; a shadow computes the first that is not. */
  #commit(): void {
    for (let span = this.#nextSpan(); span !== null; span = this.#nextSpan()) {
      if (this.#record.computed < span.end) {
        if (this.seat.role === 'shadow' && this.#running === null) this.#runAgain(span);
        return;
      }
      const signing = this.#audit.commit(this.#record.span(span.start, span.end));
      this.#perform({ type: 'sign', session: this.id, ...signing });
    }
  }

  /** The next span to commit to, if its rows are here. */
  #nextSpan(): Span | null {
    try {
      const span = this.#audit.next();
      return span !== null && span.end <= this.#record.received ? span : null;
    } catch (error) {
      this.fail(toChorusError(error), null);
      return null;
    }
  }

  /** One run for the span, after those for what a cut left unchecked before it. */
  #runAgain({ start, end: spanEnd }: Span): void {
    const from = this.#record.computed;
    const end = from < start ? Math.min(start, chunkEnd(from)) : spanEnd;
    this.#run({ type: 'again', end });
    const input = this.#record.rows(from, end);
    this.#perform({ type: 'run', session: this.id, input, logitsFrom: this.#record.logitsFrom(from, end) });
  }

  /**
   * Signs for all that was computed and committed to, or for all that was computed where nothing is checked. What a cut has
   * taken in the meantime is not signed for, nor what is no longer the end.
   */
  #signRecord({ end, salt }: Extract<AuditMessage, { type: 'record' }>): void {
    const record = this.#record;
    const { committedEnd, mostCommitted, isAudited } = this.#audit;
    if (end > (isAudited ? mostCommitted : record.mostComputed)) {
      throw new ChorusError('bad-message', 'a record was asked for of what was not committed to');
    }
    if (end !== (isAudited ? committedEnd : record.computed)) return;
    const { config, wallMs } = this.#host;
    const { stage, role } = this.seat;
    const { model, range, manifest } = config.loaded;
    const run = {
      session: this.id,
      stage,
      range,
      role,
      model,
      numericClass: config.backend.numericClass,
      runtime: { name: manifest.pins.runtime, version: config.backend.runtimeVersion },
      positions: end,
      inputAt: (at: number) => record.chainsAt(at).input,
      outputAt: (at: number) => record.chainsAt(at).output,
      runsAt: (at: number) => record.chainsAt(at).runs,
    };
    this.#perform(this.#records.sign(run, salt, wallMs));
  }

  #onSigned({ statement, index }: Extract<SessionReply, { type: 'signed' }>, signature: Uint8Array<ArrayBuffer>): void {
    if (statement === 'record') return this.#sendRecord(this.#records.signed(this.id, index, signature));
    const message = this.#audit.signed({ statement, index }, signature);
    if (message === null) return;
    this.#send(this.seat.requester, message);
    if (message.type === 'commit')
      this.#host.count(this.seat.role === 'primary' ? 'spansCommitted' : 'spansShadowed', 1);
    else this.#record.release(this.#audit.shownTo);
  }

  #onVerified(index: number, isGood: boolean): void {
    try {
      const signing = this.#audit.verified(index, isGood, this.#host.show);
      if (signing !== null) this.#perform({ type: 'sign', session: this.id, ...signing });
    } catch (error) {
      this.fail(toChorusError(error), null);
    }
  }

  #recall(start: number, end: number): void {
    if (end > this.#record.received) {
      return this.fail(new ChorusError('bad-message', 'rows were recalled that never came'), null);
    }
    this.#giveBack({ type: 'recalled', session: this.id, rows: this.#record.rows(start, end) });
  }

  #sendRecord(message: PeerMessage | null): void {
    if (message !== null) this.#giveBack(message);
  }

  /** Sends the requester what it asked for, as long as it takes it. */
  #giveBack(message: PeerMessage): void {
    const bytes = bytesOf(message);
    const to = this.seat.requester;
    if (!this.#backlog.add(to, bytes)) {
      return this.fail(new ChorusError('rate-limited', 'more is asked for than can be sent'), null);
    }
    this.#perform({ type: 'send-counted', session: this.id, to, message, bytes });
  }

  onLinkLost(peer: PeerId): void {
    const { upstream, forward } = this.seat;
    if (upstream === peer) return this.end('the peer before this stage is gone');
    if (forward?.peer === peer && !this.#missing.has('forward')) {
      return this.fail(new ChorusError('link-lost', 'the next peer is gone'), this.#onward.volunteer);
    }
    this.#onward.drop(peer);
  }

  onTime(): void {
    const { nowMs, config } = this.#host;
    const { seat } = this;
    const timeout = (message: string) => new ChorusError('timeout', message);
    if (nowMs >= this.#runByMs) this.fail(timeout('a run took too long'), config.self);
    else if (nowMs >= this.#openByMs) {
      const slowest = this.#missing.has('compute') ? config.self : this.#onward.volunteer;
      this.fail(timeout('opening took too long'), slowest);
    } else if (nowMs >= this.#gapByMs) {
      const blamed = seat.stage === 0 ? null : seat.upstream;
      this.fail(new ChorusError('gap', 'messages in between never came'), blamed);
    } else if (nowMs >= this.leaseEndMs) this.fail(timeout('the lease has ended'), null);
    else if (nowMs >= this.#idleAtMs) this.fail(timeout('the session was idle too long'), null);
  }

  /** Ends the session with a fault to the peer before it; `volunteer` is held to be at fault. */
  fail({ code, message }: ChorusError, volunteer: PeerId | null): void {
    const { upstream, requester, stage, role } = this.seat;
    const fault = faultMessage(this.id, stage, code, message, volunteer);
    this.#send(upstream, fault);
    // Nobody passes a shadow's fault on, and who is held to be at fault would have to pass that on itself.
    if (requester !== upstream && (role === 'shadow' || volunteer === upstream)) {
      if (this.#audit.isAudited) this.#send(requester, fault);
      else this.#untold = fault;
    }
    this.end(message);
  }

  /** Ends the session here and after here. */
  end(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#host.ended(this);
    if (this.#missing.size === 0 && this.seat.forward !== null) {
      this.#onward.send({ type: 'close', session: this.id, reason });
    }
    this.#perform({ type: 'close', session: this.id });
  }

  #send(to: PeerId, message: PeerMessage): void {
    this.#perform({ type: 'send', to, message });
  }

  #perform(effect: SessionEffect): void {
    this.#host.perform(effect);
  }
}

/** Says that a session, or a request for one, failed; `volunteer` is held to be at fault. */
export function faultMessage(
  session: SessionId,
  stage: number,
  code: ErrorCode,
  message: string,
  volunteer: PeerId | null,
): PeerMessage {
  return { type: 'fault', session, stage, code, message: message.slice(0, 300), volunteer };
}
