import { ChorusError, toChorusError } from '../errors.ts';
import type { PeerId, SessionId } from '../ids.ts';
import { OPENING_BYTES } from '../judge/statement-codec.ts';
import { leaseMs } from '../route/route.ts';
import type { SignedSeat } from '../route/seat.ts';
import type { RunResult } from '../rows/compute.ts';
import { Backlog, messageBytes } from '../wire/backlog.ts';
import type { PeerMessage, RowsMessage } from '../wire/peer-message.ts';
import { RowOrder, type CutMessage } from '../wire/row-order.ts';
import { checkDigest } from '../wire/rows-message.ts';
import { checkRows, type Seat } from './admission.ts';
import { faultMessage } from './fault-message.ts';
import { Onward } from './onward.ts';
import { ReplicaAudit, type AuditMessage } from './replica-audit.ts';
import type { ReplicaSessionEffect, ReplicaSessionReply } from './replica-event.ts';
import { ReplicaRecords } from './replica-records.ts';
import type { SessionHost } from './session-host.ts';
import { SessionKey } from './session-key.ts';
import { SessionWaits, type Overdue } from './session-waits.ts';
import { StageRuns } from './stage-runs.ts';

/**
 * One session of one stage. Its rows and cuts take effect in the order their sender meant, and it answers the requester
 * that has it checked. Whatever goes wrong ends the session with a fault to the peer before it.
 */
export class ReplicaSession {
  readonly id: SessionId;
  readonly seat: Seat;
  readonly #host: SessionHost;
  readonly #capacity: number;
  readonly #order = new RowOrder();
  readonly #runs: StageRuns;
  readonly #audit: ReplicaAudit;
  readonly #records: ReplicaRecords;
  readonly #onward: Onward;
  readonly #key: SessionKey;
  readonly #waits: SessionWaits;
  /** Recalled rows and records on their way to the requester. */
  readonly #backlog = new Backlog();
  /** Needed before the session is open and not there yet: its KV, the link forward. */
  readonly #missing = new Set<'compute' | 'forward'>(['compute']);
  #isOver = false;
  #untold: PeerMessage | null = null;

  constructor(host: SessionHost, seat: Seat, signed: SignedSeat) {
    const { nowMs, config } = host;
    const { session, capacity } = signed;
    this.id = session;
    this.seat = seat;
    this.#waits = new SessionWaits(nowMs, leaseMs(signed));
    this.#host = host;
    this.#capacity = capacity;
    const fail = (error: ChorusError) => this.fail(error, config.self);
    this.#key = new SessionKey(host, { isOver: () => this.#isOver, fail });
    this.#audit = new ReplicaAudit(seat, config.publicKey, config.random(OPENING_BYTES));
    this.#onward = new Onward(session, seat, (effect) => this.#perform(effect));
    this.#runs = new StageRuns(host, seat, signed, this.#audit, this.#onward);
    this.#records = new ReplicaRecords(config, session, seat, this.#runs.tape, this.#audit);
    if (seat.forward !== null) this.#missing.add('forward');
  }

  /** Asks for what the session needs. */
  open(): void {
    this.#perform({ type: 'open', session: this.id, capacity: this.#capacity });
    this.#onward.connect();
  }

  get leaseEndMs(): number {
    return this.#waits.leaseEndMs;
  }

  get deadlineMs(): number {
    return Math.min(this.#waits.deadlineMs, this.#runs.deadlineMs);
  }

  /** Why it ended, for a requester that it does not know yet how to reach. */
  get untold(): PeerMessage | null {
    return this.#untold;
  }

  /** Bytes of rows it keeps. */
  get bytes(): number {
    return this.#runs.tape.bytes + this.#audit.bytes;
  }

  /** Takes rows or a cut from the peer before this stage. */
  take(message: RowsMessage | CutMessage): void {
    const { nowMs, config } = this.#host;
    this.#waits.heard(nowMs);
    try {
      if (message.type === 'rows') {
        checkRows(message, this.seat, config.loaded, this.#capacity);
        checkDigest(message);
      }
      for (const next of this.#order.accept(message)) this.#runs.enqueue(next);
    } catch (error) {
      return this.fail(toChorusError(error), this.seat.stage === 0 ? null : this.seat.upstream);
    }
    this.#waits.gap(this.#order.isWaiting, nowMs);
    this.#next();
  }

  /** Takes what the requester says of the check. */
  onAudit(message: AuditMessage): void {
    this.#waits.heard(this.#host.nowMs);
    try {
      switch (message.type) {
        case 'audit':
          this.#audit.audit(message);
          break;
        case 'check':
          this.#audit.check(message);
          break;
        case 'challenge': {
          const signed = this.#audit.challenge(message);
          if (signed !== null) this.#key.verify(signed, (isGood) => this.#onVerified(message.index, isGood));
          break;
        }
        case 'recall':
          return this.#recall(message.start, message.end);
        case 'record': {
          const signing = this.#records.sign(message, this.#host.wallMs);
          if (signing !== null) this.#key.signBoth(signing, (recorded) => this.#giveBack(recorded));
          return;
        }
      }
    } catch (error) {
      return this.fail(toChorusError(error), null);
    }
    this.#next();
  }

  /** Tells the requester how far the session is, without a look at compute. It keeps the session from no end. */
  onProgress(nonce: number): void {
    const step = this.#missing.size > 0 ? 'opening' : 'open';
    const { nextSequence: received } = this.#order;
    const { sent } = this.#runs;
    this.#send(this.seat.requester, { type: 'progressed', session: this.id, nonce, step, received, sent });
  }

  onFault(from: PeerId, message: Extract<PeerMessage, { type: 'fault' }>): void {
    if (this.seat.forward?.peer === from) {
      this.#send(this.seat.upstream, message);
      this.end(message.message);
    } else this.#onward.drop(from);
  }

  onClose(from: PeerId, reason: string): void {
    const { upstream, requester, role } = this.seat;
    if (from === upstream) this.#onLeft(reason);
    // The sender of a shadow that the requester gave up need not go on feeding it.
    else if (from === requester && role === 'shadow') this.fail(new ChorusError('cancelled', reason), null);
    // A volunteer before this one that answers nothing passes no close on.
    else if (from === requester) this.end(reason);
  }

  onReply(event: ReplicaSessionReply): void {
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
        this.#runs.onCutDone();
        return this.#next();
      case 'sent':
        if (event.peer === this.seat.requester) this.#backlog.remove(event.peer, event.bytes);
        else this.#onward.sent(event.peer, event.bytes);
    }
  }

  #onOpened(): void {
    if (this.#missing.size > 0) return;
    this.#waits.opened();
    const { forward } = this.seat;
    if (forward?.isRequester) this.#send(forward.peer, { type: 'ready', session: this.id });
    else if (forward !== null) {
      this.#onward.send({ type: 'open', session: this.id, stage: forward.stage });
    }
    this.#next();
  }

  /** Takes up what can be: rows and cuts while nothing runs, then spans that wait for them. */
  #next(): void {
    if (this.#isOver) return;
    if (this.#missing.size === 0) this.#runs.start();
    try {
      this.#audit.takeUp();
    } catch (error) {
      return this.fail(toChorusError(error), null);
    }
    this.#runs.commit((signing) => this.#key.sign(signing, (message) => this.#commit(message)));
    this.#waits.rows(this.#runs.isStarved, this.#host.nowMs);
  }

  #onRan(result: RunResult): void {
    try {
      this.#runs.onRan(result);
    } catch (error) {
      return this.fail(toChorusError(error), this.#host.config.self);
    }
    this.#next();
  }

  #commit(commit: PeerMessage): void {
    this.#send(this.seat.requester, commit);
    this.#host.count(this.seat.role === 'primary' ? 'spansCommitted' : 'spansShadowed', 1);
  }

  #reveal(reveal: PeerMessage): void {
    this.#send(this.seat.requester, reveal);
    this.#runs.tape.release(this.#audit.shownTo);
  }

  #onVerified(index: number, isGood: boolean): void {
    try {
      const signing = this.#audit.verified(index, isGood, this.#host.show);
      if (signing !== null) this.#key.sign(signing, (message) => this.#reveal(message));
    } catch (error) {
      this.fail(toChorusError(error), null);
    }
  }

  #recall(start: number, end: number): void {
    if (end > this.#runs.tape.received) {
      return this.fail(new ChorusError('bad-message', 'rows were recalled that never came'), null);
    }
    this.#giveBack({ type: 'recalled', session: this.id, rows: this.#runs.tape.rows(start, end) });
  }

  /** Sends the requester what it asked for, as long as it takes it. */
  #giveBack(message: PeerMessage): void {
    const bytes = messageBytes(message);
    const to = this.seat.requester;
    if (!this.#backlog.add(to, bytes)) {
      return this.fail(new ChorusError('rate-limited', 'more is asked for than can be sent'), null);
    }
    this.#perform({ type: 'send-counted', session: this.id, to, message, bytes });
  }

  onLinkLost(peer: PeerId): void {
    const { upstream, forward } = this.seat;
    if (upstream === peer) return this.#onLeft('the peer before this stage is gone');
    if (forward?.peer === peer && !this.#missing.has('forward')) {
      return this.fail(new ChorusError('link-lost', 'the next peer is gone'), this.#onward.volunteer);
    }
    this.#onward.drop(peer);
  }

  /**
   * The peer before this stage sends nothing more. A replica that gets rows from the requester itself, or as a primary, has
   * others that say so; a shadow has nobody.
   */
  #onLeft(reason: string): void {
    const { upstream, role, stage } = this.seat;
    if (role === 'shadow' && stage > 0) this.fail(new ChorusError('link-lost', reason), upstream);
    else this.end(reason);
  }

  onTime(): void {
    const { nowMs, config } = this.#host;
    if (nowMs >= this.#runs.deadlineMs) {
      return this.fail(new ChorusError('timeout', 'a run took too long'), config.self);
    }
    const overdue = this.#waits.overdue(nowMs);
    if (overdue !== null) this.fail(overdue.error, this.#keeperOf(overdue.what));
  }

  /** The volunteer that keeps the session waiting. */
  #keeperOf(what: Overdue['what']): PeerId | null {
    if (what === 'open') return this.#missing.has('compute') ? this.#host.config.self : this.#onward.volunteer;
    return (what === 'gap' || what === 'rows') && this.seat.stage > 0 ? this.seat.upstream : null;
  }

  /** Ends the session with a fault to the peer before it; `volunteer` is held to be at fault. */
  fail({ code, message }: ChorusError, volunteer: PeerId | null): void {
    const { upstream, requester, stage, role } = this.seat;
    const fault = faultMessage(this.id, stage, code, message, volunteer);
    this.#send(upstream, fault);
    // Nobody passes a shadow's fault on, and an accused sender would have to pass on its own.
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

  #perform(effect: ReplicaSessionEffect): void {
    this.#host.perform(effect);
  }
}
