import type { Now } from '../../clock.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { noCounts } from '../../judge/finding.ts';
import { LAP_TIMEOUT_MS, OPEN_TIMEOUT_MS, PROMPT_WINDOW } from '../../limits.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { Route } from '../../route/route.ts';
import type { Sampling } from '../../rows/sampler.ts';
import type { PeerMessage, RowsMessage } from '../../wire/peer-message.ts';
import type { AuditEvent } from '../audit/audit-event.ts';
import { RequesterSession } from '../feed/requester-session.ts';
import type { Release, RequesterConfig, SessionReply, SignedRoute } from '../requester-event.ts';
import type { SettlementEvent } from '../settle/settlement.ts';
import type { LiveEffect, SessionAccount, SessionEvent } from './live-event.ts';
import { Refusals, type Refusal } from './refusals.ts';
import { SessionCheck } from './session-check.ts';
import { lossBy, readFault } from './told-fault.ts';

/** One session over its links: opens it, feeds it, takes what comes back, and has it checked. */
export class LiveSession {
  readonly #config: RequesterConfig;
  readonly #session: RequesterSession;
  readonly #nextTicket: () => number;
  /** Of an open session. */
  #check: SessionCheck | null = null;
  readonly #refusals: Refusals;
  #effects: LiveEffect[] = [];
  #now: Now;

  /** `nextTicket` numbers what is asked of the server. */
  constructor(config: RequesterConfig, signed: SignedRoute, nextTicket: () => number, now: Now) {
    this.#config = config;
    this.#nextTicket = nextTicket;
    this.#now = now;
    this.#session = new RequesterSession(signed, now.nowMs);
    this.#refusals = new Refusals(signed.route);
  }

  get route(): Route {
    return this.#session.route;
  }

  get isOpen(): boolean {
    return this.#session.step === 'open';
  }

  /** True if each of its spans gets a verdict of more than one replica where that is possible. */
  get isChecked(): boolean {
    return this.#check?.isChecked === true;
  }

  /** True while nothing may be fed or cut. */
  get isSettling(): boolean {
    return this.#check?.isSettling === true;
  }

  /** What it was fed, in which runs, and the verdicts on that; the tokens and runs are copies. */
  get account(): SessionAccount {
    const { route, envelope, tokens, fedRuns: runs } = this.#session;
    return { route, envelope, tokens, runs, spans: this.#check?.spans ?? [], anchor: this.#check?.anchor ?? null };
  }

  /** True while replicas' records may still come. */
  get isRecording(): boolean {
    return this.#check?.isRecording === true;
  }

  get attestations(): Evidence['attestations'] {
    return this.#check?.attestations ?? [];
  }

  /** Positions the replicas hold, once what is on its way has arrived. */
  get length(): number {
    return this.#session.length;
  }

  get deadlineMs(): number {
    return Math.min(this.#session.deadlineMs, this.#check?.deadlineMs ?? Infinity, this.#refusals.deadlineMs);
  }

  /** True if its lease is near its end, or it can be checked no longer. */
  isEnding(nowMs: number): boolean {
    return this.#session.isEnding(nowMs) || this.#check?.isSpent === true;
  }

  connect(): LiveEffect[] {
    const { session, stages } = this.route;
    const { primary, shadows } = stages[0]!;
    return [primary, ...shadows].map(({ id: peer, webrtc }) => ({ type: 'connect', session, peer, webrtc }));
  }

  /** Takes what may be for this session; what is not does nothing. */
  handle(event: SessionEvent, now: Now): LiveEffect[] {
    return this.#collect(now, () => this.#dispatch(event));
  }

  /** Cuts the session back to what it shares with the history. */
  align(history: readonly number[], now: Now): LiveEffect[] {
    return this.#collect(now, () => {
      if (this.#session.isTornBy(history)) {
        return this.#lose(
          new ChorusError('cancelled', 'the answer before was given up at a place that cannot be kept'),
          [],
        );
      }
      const cut = this.#session.align(history, now.nowMs);
      this.#tellReturned();
      if (cut === null) return;
      this.#broadcast(cut);
      this.#tell({ type: 'cut', epoch: cut.epoch, position: cut.position });
    });
  }

  /** Sends what there is room for of `history`. */
  feed(history: readonly number[], now: Now): LiveEffect[] {
    return this.#collect(now, () => {
      for (const rows of this.#session.nextRows(history, PROMPT_WINDOW, now.nowMs)) {
        this.#broadcast(rows);
        this.#tell({ type: 'sent', rows });
      }
    });
  }

  /** `token` was drawn from the last logits. */
  drew(token: number, position: number, sampling: Sampling): void {
    this.#session.drew(token, position, sampling);
  }

  /** The answer is longer by a token. */
  count(lapMs: number): void {
    this.#session.count(lapMs);
  }

  /** Has everything checked that is not yet. */
  closeSpan(now: Now): LiveEffect[] {
    return this.#collect(now, () => this.#tell({ type: 'close-span' }));
  }

  /** Has every replica sign what it did; `recorded` follows. */
  record(salt: Uint8Array<ArrayBuffer>, now: Now): LiveEffect[] {
    return this.#collect(now, () => this.#effects.push(...(this.#check?.record(salt, now) ?? [{ type: 'recorded' }])));
  }

  /** Waits for the next answer. The server hears how it went so far: it may be the last word. */
  rest(now: Now): LiveEffect[] {
    this.#check?.stopRecords();
    this.#session.rest(now.nowMs);
    const rest = { type: 'rest' as const, ...this.#session.figures(this.#checks) };
    return this.#collect(now, () => this.#effects.push({ type: 'rest', rest }));
  }

  /** Ends it; `faults` add to those its check has found. */
  drop(outcome: Release['outcome'], faults: Release['faults']): LiveEffect[] {
    const session = this.#session;
    session.faults.push(...faults);
    return this.#collect(this.#now, () => {
      this.#effects.push(...(this.#check?.stop() ?? []));
      if (session.step !== 'connecting') this.#broadcast({ type: 'close', session: session.id, reason: outcome });
      this.#effects.push({ type: 'release', release: session.release(outcome, this.#checks) });
    });
  }

  get #checks(): Release['checks'] {
    return this.#check?.checks ?? { ...noCounts(), agreed: [] };
  }

  #collect(now: Now, act: () => void): LiveEffect[] {
    this.#now = now;
    this.#effects = [];
    act();
    return this.#effects;
  }

  #dispatch(event: SessionEvent): void {
    switch (event.type) {
      case 'connected':
      case 'connect-failed':
        return this.#onConnected(event);
      case 'message':
        return this.#onMessage(event.from, event.message);
      case 'link-lost':
        return this.#onLinkLost(event.peer);
      case 'time':
        return this.#onTime();
      default:
        return this.#tell(event);
    }
  }

  #onConnected(event: Extract<SessionReply, { type: 'connected' | 'connect-failed' }>): void {
    const session = this.#session;
    const { peer } = event;
    if (event.session !== session.id) return this.#tell(event);
    if (peer === session.first && session.step === 'connecting') {
      if (event.type === 'connect-failed') return this.#lose(event.error, [peer]);
      session.toOpening(this.#now.nowMs);
      this.#broadcast({ type: 'open', session: session.id, stage: 0, route: session.envelope });
    }
    if (event.type === 'connect-failed') session.shadows.drop(peer);
    else for (const sent of session.shadows.connected(peer)) this.#effects.push({ type: 'send', ...sent });
    this.#tell(event);
  }

  #onMessage(from: PeerId, message: PeerMessage): void {
    const session = this.#session;
    const isOwn = 'session' in message && message.session === session.id;
    if (isOwn && message.type === 'fault') return this.#onFault(from, message);
    if (isOwn && message.type === 'ready') {
      if (from === session.last && session.step === 'opening') this.#onReady();
    } else if (isOwn && message.type === 'rows') {
      if (from === session.last && message.rows.kind === 'logits') this.#onLogits(message);
    } else this.#tell({ type: 'message', from, message });
  }

  #onReady(): void {
    const session = this.#session;
    session.toOpen();
    const check = new SessionCheck(this.#config, session, this.#nextTicket, this.#now);
    this.#check = check;
    this.#effects.push(...check.start(this.#now), { type: 'opened' });
  }

  #onFault(from: PeerId, fault: Extract<PeerMessage, { type: 'fault' }>): void {
    const told = readFault(from, fault, this.route);
    if (told?.type === 'shadow-left') this.#onLinkLost(from);
    else if (told?.type === 'lost') this.#effects.push(told);
    else if (told !== null) {
      this.#refusals.add(told, this.#now.nowMs);
      this.#hearRefusals();
    }
  }

  #hearRefusals(): void {
    for (const refusal of this.#refusals.take(this.#now.nowMs)) this.#onRefusal(refusal);
  }

  #onRefusal(refusal: Refusal): void {
    const { stage, sender, receivers, error } = refusal;
    const session = this.#session;
    const loss = lossBy(refusal, session.route);
    if (receivers.length > 1 && error.code !== 'link-lost') {
      const at = { start: session.length, end: session.length, proof: null };
      const fault = { volunteer: sender, stage: stage - 1, role: 'primary', code: 'rows-refused', ...at } as const;
      this.#effects.push({ type: 'fault', fault });
    }
    if (loss !== null) return void this.#effects.push(loss);
    session.shadows.drop(receivers[0]!);
    this.#tell({ type: 'refused', peer: receivers[0]! });
  }

  #onLinkLost(peer: PeerId): void {
    const session = this.#session;
    session.shadows.drop(peer);
    const isEnd = peer === session.first || peer === session.last;
    if (session.step === 'connecting' || !isEnd) return this.#tell({ type: 'link-lost', peer });
    this.#lose(new ChorusError('link-lost', 'the connection to a volunteer was lost'), [peer]);
  }

  #onTime(): void {
    const session = this.#session;
    this.#tell({ type: 'time' });
    this.#hearRefusals();
    if (this.#now.nowMs < session.deadlineMs) return;
    if (session.isResting) return this.#lose(new ChorusError('timeout', 'no answer was asked for in time'), []);
    // Nobody told who is stuck, so all of them are left out.
    const everyone = session.route.stages.map((stage) => stage.primary.id);
    const seconds = (session.step === 'open' ? LAP_TIMEOUT_MS : OPEN_TIMEOUT_MS) / 1000;
    this.#lose(new ChorusError('timeout', `no volunteer answered for ${seconds} s`), everyone);
  }

  #onLogits(message: RowsMessage): void {
    const session = this.#session;
    try {
      const lap = session.take(message, this.#config.manifest.config.vocabularySize, this.#now.nowMs);
      this.#effects.push({ type: 'lap', lap, hops: message.hops });
    } catch (error) {
      return this.#lose(toChorusError(error), [session.last]);
    }
    this.#tellReturned();
  }

  #tellReturned(): void {
    for (const returned of this.#session.takeReturned()) this.#tell({ type: 'received', ...returned });
  }

  #tell(event: AuditEvent | SettlementEvent): void {
    if (this.#check !== null) this.#effects.push(...this.#check.handle(event, this.#now));
  }

  /** To all replicas of the first stage. */
  #broadcast(message: PeerMessage): void {
    const session = this.#session;
    this.#effects.push({ type: 'send', to: session.first, message });
    for (const sent of session.shadows.feed(message)) this.#effects.push({ type: 'send', ...sent });
  }

  #lose(error: ChorusError, blamed: readonly PeerId[]): void {
    this.#effects.push({ type: 'lost', error, blamed });
  }
}
