import type { Now } from '../../clock.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { LAP_TIMEOUT_MS, OPEN_TIMEOUT_MS, PROMPT_WINDOW } from '../../limits.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { Route } from '../../route/route.ts';
import type { Sampling } from '../../rows/sampler.ts';
import type { PeerMessage, RowsMessage } from '../../wire/peer-message.ts';
import type { TokenRedraw } from '../audit/span-audit.ts';
import { SpanBook } from '../audit/span-book.ts';
import { RequesterSession } from '../feed/requester-session.ts';
import type {
  Release,
  RequesterConfig,
  RequesterEvent,
  RequesterEventOf,
  SignedRoute,
  Told,
} from '../requester-event.ts';
import { liveHost } from './live-host.ts';
import type { ProgressQuestion } from './progress-board.ts';
import { SessionCheck, type CheckHost } from './session-check.ts';
import type { SessionAccount, SessionOut } from './session-news.ts';
import { SessionWatch } from './session-watch.ts';
import { LINK_LOST } from './told-fault.ts';
import { ToldFaults } from './told-faults.ts';

/** One session over its links: opens it, feeds it, takes what comes back, and has it checked. */
export class LiveSession {
  readonly #config: RequesterConfig;
  readonly #session: RequesterSession;
  readonly #book: SpanBook;
  readonly #host: CheckHost;
  /** The check of an open session. */
  #check: SessionCheck | null = null;
  /** Null before the first fault that a peer tells of. */
  #faults: ToldFaults | null = null;
  readonly #watch: SessionWatch;
  #isDropped = false;
  #out: SessionOut[] = [];
  #now: Now;

  /** `nextTicket` numbers requests to the server; `patience` is how many times the usual time volunteers get. */
  constructor(config: RequesterConfig, signed: SignedRoute, nextTicket: () => number, now: Now, patience = 1) {
    this.#config = config;
    this.#now = now;
    this.#session = new RequesterSession(signed, now.nowMs, patience);
    this.#book = new SpanBook(signed.route);
    this.#watch = new SessionWatch(this.#session, this.#book, now.nowMs);
    const push = (out: SessionOut): void => void this.#out.push(out);
    this.#host = liveHost({ config, session: this.#session, nowMs: () => this.#now.nowMs, push, nextTicket });
  }

  get route(): Route {
    return this.#session.route;
  }

  get isOpen(): boolean {
    return this.#session.step === 'open';
  }

  /** True if each of its spans gets a verdict of more than one replica where that is possible. */
  get isChecked(): boolean {
    return this.#book.isChecked;
  }

  /** Stages that nobody checks, or nobody any more. */
  get bareStages(): number {
    const { stages } = this.route;
    const isChecked = (stage: number): boolean =>
      this.#check === null ? stages[stage]!.shadows.length > 0 : this.#check.isChecked(stage);
    return stages.filter((_, stage) => !isChecked(stage)).length;
  }

  /** True where nobody checks a stage any more that its route gave somebody to. */
  get hasLostCheck(): boolean {
    return this.bareStages > this.route.stages.filter(({ shadows }) => shadows.length === 0).length;
  }

  /** True while nothing may be cut. */
  get isSettling(): boolean {
    return this.#check?.isSettling === true;
  }

  /** True while nothing may be fed. */
  get isHalted(): boolean {
    return this.#check?.isHalted === true;
  }

  /** Its tokens and runs as they were fed, and the verdicts on them; the tokens and runs are copies. */
  get account(): SessionAccount {
    const { route, envelope, tokens, fedRuns: runs } = this.#session;
    const spans = this.#book.verdicts.upTo(tokens.length);
    return { route, envelope, tokens, runs, spans, anchor: this.#check?.anchor ?? null };
  }

  /** True while replicas' records may still come. */
  get isRecording(): boolean {
    return this.#check?.isRecording === true;
  }

  /** The salt of the record that is asked for next. */
  get recordSalt(): Uint8Array<ArrayBuffer> {
    return this.#host.recordSalt.current;
  }

  /** The number of the newest record that was asked for. */
  get recordNumber(): number {
    return this.#check?.recordNumber ?? 1;
  }

  get attestations(): Evidence['attestations'] {
    return this.#check?.attestations ?? [];
  }

  /** Positions the replicas hold, once what is on its way has arrived. */
  get length(): number {
    return this.#session.length;
  }

  get deadlineMs(): number {
    return Math.min(
      this.#session.deadlineMs,
      this.#isDropped ? Infinity : this.#watch.deadlineMs,
      this.#check?.deadlineMs ?? Infinity,
      this.#faults?.deadlineMs ?? Infinity,
    );
  }

  /** True if its lease is near its end, or it can be checked no longer. */
  isEnding(nowMs: number): boolean {
    return this.#session.isEnding(nowMs) || this.#check?.isSpent === true;
  }

  connect(): SessionOut[] {
    const { session, stages } = this.route;
    // The first stage is opened from here; the others are asked for their progress.
    const replicas = stages.flatMap(({ primary, shadows }) => [primary, ...shadows]);
    return replicas.map(({ id: peer, webrtc }) => ({ type: 'connect', session, peer, webrtc }));
  }

  /** Takes an event that may be for this session; any other does nothing. */
  handle(event: RequesterEvent, now: Now): SessionOut[] {
    return this.#collect(now, () => this.#dispatch(event));
  }

  /** Hears the reply to a question that was asked in the name of this session. */
  hear(reply: () => void, now: Now): SessionOut[] {
    return this.#collect(now, reply);
  }

  /** Cuts the session back to what it shares with the history. */
  align(history: readonly number[], now: Now): SessionOut[] {
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
      this.#check?.audit?.cut(cut.epoch, cut.position);
    });
  }

  /** Cuts the session back to the position of a token that another replica drew; `sampling` is how, null where it is not used. */
  redraw({ position, token }: TokenRedraw, sampling: Sampling | null, now: Now): SessionOut[] {
    return this.#collect(now, () => {
      const session = this.#session;
      const cut = session.cutBack(position, now.nowMs);
      if (sampling !== null) session.drew(token, position, sampling);
      if (cut !== null) this.#broadcast(cut);
      this.#check?.audit?.cut(session.epoch, position);
    });
  }

  /** Sends what there is room for of `history`; the logits of its positions from `logitsFrom` on are wanted. */
  feed(history: readonly number[], now: Now, logitsFrom = history.length - 1): SessionOut[] {
    return this.#collect(now, () => {
      for (const rows of this.#session.nextRows(history, logitsFrom, PROMPT_WINDOW, now.nowMs)) {
        this.#broadcast(rows);
        this.#book.sent(rows);
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

  /** Has all positions checked that are not yet. */
  closeSpan(now: Now): SessionOut[] {
    return this.#collect(now, () => this.#check?.audit?.closeSpan());
  }

  /** Has every replica sign what it did; `recorded` follows. */
  record(salt: Uint8Array<ArrayBuffer>, now: Now): SessionOut[] {
    return this.#collect(now, () => {
      if (this.#check === null) this.#out.push({ type: 'recorded' });
      else this.#check.record(salt);
    });
  }

  /** Waits for the next answer. The server hears how it went so far: it may be the last word. */
  rest(now: Now): SessionOut[] {
    this.#check?.stopRecords();
    this.#session.rest(now.nowMs);
    const rest = { type: 'rest' as const, ...this.#session.figures(this.#book.verdicts.counts) };
    return [{ type: 'rest', rest }];
  }

  /** Ends it; what is told of its volunteers adds to what its check has found. */
  drop(outcome: Release['outcome'], { faults = [], stalled = [] }: Partial<Told>): SessionOut[] {
    const session = this.#session;
    session.faults.push(...faults);
    session.stalled.push(...stalled);
    this.#isDropped = true;
    return this.#collect(this.#now, () => {
      this.#check?.stop();
      const close = { type: 'close', session: session.id, reason: outcome } as const;
      if (session.step !== 'connecting') this.#broadcast(close);
      // Where a volunteer in the middle is lost, nobody passes it on.
      if (outcome === 'failed')
        for (const to of this.#watch.linkedPeers) this.#out.push({ type: 'send', to, message: close });
      this.#out.push({ type: 'release', release: session.release(outcome, this.#book.verdicts.counts) });
    });
  }

  /** The answer goes on in this session although it stalls. */
  bear(now: Now): SessionOut[] {
    return this.#collect(now, () => this.#watch.bear(now.nowMs));
  }

  #collect(now: Now, act: () => void): SessionOut[] {
    this.#now = now;
    this.#out = [];
    act();
    if (!this.#isDropped) this.#lookOn();
    return this.#out;
  }

  /** Asks for progress where something takes long, and tells without whom the answer should go on. */
  #lookOn(): void {
    const isHeld = this.#session.isResting || this.isSettling || this.#faults?.isWeighing === true;
    const { questions, silentShadows, stalls } = this.#watch.step(isHeld, this.#now.nowMs);
    for (const question of questions) this.#ask(question);
    for (const shadow of silentShadows) this.#check?.leave(shadow);
    for (const stall of stalls) {
      for (const word of stall.withheld ?? []) this.#check?.withheld(word);
      this.#out.push({ type: 'stalled', ...stall });
    }
  }

  #ask({ to, nonce }: ProgressQuestion): void {
    const { id: session } = this.#session;
    for (const peer of to) this.#out.push({ type: 'send', to: peer, message: { type: 'progress', session, nonce } });
  }

  #dispatch(event: RequesterEvent): void {
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
        return this.#check?.handle(event);
    }
  }

  #onConnected(event: RequesterEventOf<'connected' | 'connect-failed'>): void {
    const session = this.#session;
    const { peer } = event;
    if (event.session !== session.id) return this.#check?.handle(event);
    const question = event.type === 'connected' ? this.#watch.linked(peer, this.#now.nowMs) : null;
    if (question !== null) this.#ask(question);
    if (event.type === 'connect-failed') this.#watch.unlinked(peer);
    if (peer === session.first && session.step === 'connecting') {
      if (event.type === 'connect-failed') return this.#lose(event.error, [peer]);
      session.toOpening(this.#now.nowMs);
      this.#broadcast({ type: 'open', session: session.id, stage: 0 });
    }
    if (event.type === 'connect-failed') session.shadows.drop(peer);
    else for (const sent of session.shadows.connected(peer)) this.#out.push({ type: 'send', ...sent });
    this.#check?.handle(event);
  }

  #onMessage(from: PeerId, message: PeerMessage): void {
    const session = this.#session;
    const isOwn = 'session' in message && message.session === session.id;
    if (isOwn && message.type === 'fault') return this.#onFault(from, message);
    if (isOwn && message.type === 'progressed') return this.#watch.told(from, message, this.#now.nowMs);
    if (isOwn && message.type === 'ready') {
      if (from === session.last && session.step === 'opening') this.#onReady();
    } else if (isOwn && message.type === 'rows') {
      if (from === session.last && message.rows.kind === 'logits') this.#onLogits(message);
    } else this.#check?.handle({ type: 'message', from, message });
  }

  #onReady(): void {
    const session = this.#session;
    session.toOpen();
    this.#check = new SessionCheck(this.#host, this.#book);
    this.#check.start();
    this.#out.push({ type: 'opened' });
  }

  #onFault(from: PeerId, fault: Extract<PeerMessage, { type: 'fault' }>): void {
    this.#faults ??= new ToldFaults(this.#host, (peer) => this.#watch.isGone(peer));
    const told = this.#faults.take(from, fault);
    if (told === 'shadow-left') this.#onLinkLost(from);
    else if (told === 'refusal') this.#hearRefusals();
  }

  #hearRefusals(): void {
    for (const peer of this.#faults?.refusing() ?? []) {
      this.#session.shadows.drop(peer);
      this.#check?.audit?.refused(peer);
    }
  }

  #onLinkLost(peer: PeerId): void {
    const session = this.#session;
    session.shadows.drop(peer);
    this.#watch.unlinked(peer);
    const isEnd = peer === session.first || peer === session.last;
    if (session.step === 'connecting' || !isEnd) return this.#check?.handle({ type: 'link-lost', peer });
    this.#lose(new ChorusError('link-lost', LINK_LOST), [peer]);
  }

  #onTime(): void {
    const session = this.#session;
    this.#check?.handle({ type: 'time' });
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
      this.#out.push({ type: 'lap', lap, hops: message.hops });
    } catch (error) {
      return this.#lose(toChorusError(error), [session.last]);
    }
    this.#tellReturned();
  }

  #tellReturned(): void {
    for (const { rows, end } of this.#session.takeReturned()) this.#check?.audit?.received(rows, end);
  }

  /** Sends to all replicas of the first stage. */
  #broadcast(message: PeerMessage): void {
    const session = this.#session;
    this.#out.push({ type: 'send', to: session.first, message });
    for (const sent of session.shadows.feed(message)) this.#out.push({ type: 'send', ...sent });
  }

  #lose(error: ChorusError, blamed: readonly PeerId[]): void {
    this.#out.push({ type: 'lost', error, blamed });
  }
}
