import type { PeerId, SessionId } from '../../ids.ts';
import type { CheckFailure } from '../../judge/finding.ts';
import { createSeedChain, type SeedChain } from '../../judge/seed-chain.ts';
import type { Commit, Reveal, Span } from '../../judge/statement.ts';
import { CHECK_SILENCE_MS, COMMIT_TIMEOUT_MS, MAX_CHECKS, REVEAL_TIMEOUT_MS } from '../../limits.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';
import { fallsBehind, spansToAsk } from './audit-asking.ts';
import { Accusations, commitBlames, proofOf, REFUSALS, revealBlames, type Blame } from './audit-binding.ts';
import type { AuditConfig } from './audit-config.ts';
import { AuditDeadlines, overdue } from './audit-deadlines.ts';
import type { AuditEffect, AuditEvent } from './audit-event.ts';
import { takeCommit, takeReveal, type Intake } from './audit-intake.ts';
import { AuditRecord } from './audit-record.ts';
import { AuditPanel, type AuditReplica } from './audit-replica.ts';
import { AuditSignatures } from './audit-signatures.ts';
import type { AuditSpan } from './audit-span.ts';
import { AuditSpans } from './audit-spans.ts';
import { differenceIn, finiteBlames, judgeStages, newDisputes, settle, spanCheck } from './audit-verdict.ts';

interface Detail {
  readonly span?: Span | undefined;
  readonly partner?: PeerId | null;
  readonly proof?: Proof | null;
}

/**
 * The requester's check of one session as a state machine: `handle` takes an event and says what to do. It closes spans,
 * has every replica commit to each, challenges them in order once all of them have, holds what they reveal against each
 * other and gives a verdict on each span in order. A shadow that fails is dropped; with a failed primary it is all over.
 */
export class SessionAudit {
  readonly #config: AuditConfig;
  readonly #session: SessionId;
  readonly #panel: AuditPanel;
  readonly #record = new AuditRecord();
  readonly #accusations = new Accusations();
  readonly #deadlines = new AuditDeadlines();
  readonly #signatures: AuditSignatures;
  readonly #spans: AuditSpans;
  readonly #seeds: SeedChain;
  #effects: AuditEffect[] = [];
  #nowMs = 0;
  #isStarted = false;
  #isOver = false;

  constructor(config: AuditConfig) {
    this.#config = config;
    this.#seeds = createSeedChain(config.secret);
    this.#deadlines.linkByMs = config.nowMs + COMMIT_TIMEOUT_MS;
    this.#session = config.route.session;
    this.#signatures = new AuditSignatures(config.envelope);
    this.#panel = new AuditPanel(config.route);
    this.#spans = new AuditSpans(this.#session, this.#panel.stages, this.#record);
  }

  /** End of the chain of the seeds. */
  get anchor(): Uint8Array<ArrayBuffer> {
    return this.#seeds.anchor;
  }

  /** Replicas that were not dropped. */
  get live(): readonly AuditReplica[] {
    return this.#panel.live;
  }

  /** Positions before it have their verdict. */
  get checkedEnd(): number {
    return this.#spans.checkedEnd;
  }

  /** True if everything that came back has its verdict. */
  get isSettled(): boolean {
    return this.checkedEnd >= this.#record.position;
  }

  /** True once the session has had as many spans as it may: go on in another. */
  get isSpent(): boolean {
    return this.#spans.lastIndex >= MAX_CHECKS;
  }

  /** True once a primary has failed: the session is of no more use. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** True if nobody checks the stage (any more). */
  isStageBare(stage: number): boolean {
    return this.#panel.shadows(stage).length === 0;
  }

  /** When a `time` event is due, on the clock of `nowMs`; Infinity with nothing to wait for. */
  get deadlineMs(): number {
    return this.#isOver ? Infinity : this.#deadlines.next(this.#spans.open, this.#panel);
  }

  handle(event: AuditEvent, { nowMs }: { readonly nowMs: number }): AuditEffect[] {
    this.#effects = [];
    if (this.#isOver) return [];
    this.#nowMs = nowMs;
    this.#deadlines.excuse(this.#spans.open, this.#panel, nowMs);
    if (!this.#isStarted) this.#begin();
    this.#dispatch(event);
    this.#advance();
    return this.#effects;
  }

  #begin(): void {
    this.#isStarted = true;
    for (const { id: peer, webrtc } of this.#panel.all) this.#effects.push({ type: 'connect', peer, webrtc });
  }

  #dispatch(event: AuditEvent): void {
    switch (event.type) {
      case 'linked':
        return this.#onLinked(event.peer);
      case 'unreachable': {
        const replica = this.#panel.find(event.peer);
        return replica && this.#fail(replica, 'unreachable');
      }
      case 'refused':
        return this.#onRefused(this.#panel.find(event.peer));
      case 'sent':
        return this.#record.send(event.rows);
      case 'received':
        return this.#closed(this.#spans.receive(event.rows, event.end), this.#nowMs + CHECK_SILENCE_MS);
      case 'cut':
        return this.#cut(event.epoch, event.position);
      case 'close-span':
        return this.#closed(this.#spans.close());
      case 'message':
        return this.#onMessage(event.from, event.message);
      case 'verified':
        return this.#onVerified(event.ticket, event.isGood);
      case 'signed':
        return this.#signatures.signed(event.ticket, event.signature);
      case 'settled':
        return this.#onSettled(event);
      case 'time':
        return this.#onTime();
    }
  }

  #onLinked(peer: PeerId): void {
    const replica = this.#panel.find(peer);
    if (replica === undefined || !replica.isLive || replica.isLinked) return;
    replica.isLinked = true;
    this.#send(replica, { type: 'audit', session: this.#session, anchor: this.#seeds.anchor });
  }

  #onRefused(shadow: AuditReplica | undefined): void {
    if (shadow?.isLive !== true || shadow.stage === 0) return;
    const sender = this.#panel.primary(shadow.stage - 1);
    const blames = this.#accusations.contradict(sender, [shadow], REFUSALS);
    for (const { replica, partner, code } of blames) this.#fail(replica, code, { partner });
  }

  #closed(closed: readonly AuditSpan[], silentByMs = this.#deadlines.silentByMs): void {
    this.#deadlines.silentByMs = this.#spans.isGrowing ? silentByMs : Infinity;
    for (const span of closed) {
      this.#effects.push(this.#signatures.sign(span));
      for (const replica of this.#panel.live) {
        this.#ask(replica);
        if (fallsBehind(this.#spans.open, replica, span)) this.#fail(replica, 'too-slow', { span: span.span });
      }
    }
  }

  #ask(replica: AuditReplica): void {
    for (const span of spansToAsk(this.#spans.open, replica)) {
      span.part(replica).commit.byMs = this.#nowMs + COMMIT_TIMEOUT_MS;
      this.#send(replica, { type: 'check', ...span.span });
    }
  }

  #cut(epoch: number, position: number): void {
    for (const replica of this.#panel.all) if ((replica.last?.end ?? 0) > position) replica.last = null;
    this.#closed(this.#spans.cut(epoch, position), this.#nowMs + CHECK_SILENCE_MS);
  }

  #onMessage(from: PeerId, message: PeerMessage): void {
    const replica = this.#panel.find(from);
    if (replica === undefined || !replica.isLive) return;
    const { manifest } = this.#config;
    if (message.type === 'commit') {
      const intake = takeCommit(this.#spans, replica, message.commit, this.#nowMs);
      this.#take(replica, 'commit', message.commit.statement.index, intake);
    } else if (message.type === 'reveal') {
      const intake = takeReveal(this.#spans, replica, message.reveal, this.#nowMs, manifest, this.#seeds);
      this.#take(replica, 'reveal', message.reveal.statement.index, intake);
    } else if (message.type === 'fault' && message.session === this.#session && replica.role === 'shadow') {
      // It says itself that it has left the session.
      this.#fail(replica, 'unreachable');
    }
  }

  #take(replica: AuditReplica, kind: 'commit' | 'reveal', index: number, intake: Intake<Commit | Reveal>): void {
    const span = this.#spans.find(index);
    if (intake.type === 'failed') return this.#fail(replica, intake.code, { span: span?.span });
    if (intake.type === 'taken' && span !== undefined) {
      this.#effects.push(this.#signatures.verify(replica, span, kind, intake));
    }
  }

  #onVerified(ticket: number, isGood: boolean): void {
    const failure = this.#signatures.verified(ticket, isGood);
    if (failure === null || this.#spans.isVoid(failure.span.span.index)) return;
    const { replica, span, code, proof } = failure;
    this.#fail(replica, code, { span: span.span, proof });
  }

  #onSettled({ index, stage, wrong, arbiter }: Extract<AuditEvent, { type: 'settled' }>): void {
    const result = this.#spans.find(index)?.results?.[stage];
    const shadow = result?.dispute?.finding.shadow;
    if (result === undefined || shadow === undefined) return;
    settle(result, arbiter);
    if (wrong === 'shadow') this.#drop(this.#panel.find(shadow)!, true);
  }

  #onTime(): void {
    if (this.#nowMs >= this.#deadlines.silentByMs) this.#closed(this.#spans.close());
    const isLinkDue = this.#nowMs >= this.#deadlines.linkByMs;
    if (isLinkDue) this.#deadlines.linkByMs = Infinity;
    for (const replica of this.#panel.live) {
      if (isLinkDue && !replica.isLinked) this.#fail(replica, 'unreachable');
      const missing = overdue(this.#spans.open, replica, this.#nowMs);
      if (missing !== null) this.#fail(replica, missing.code, missing);
    }
  }

  /** Challenges and judges whatever can be by now. */
  #advance(): void {
    for (const span of this.#spans.open) {
      if (span.isChallenged) continue;
      if (this.#isOver || !span.isCommitted(this.#panel.live)) break;
      this.#blame(span, commitBlames(span, this.#panel, this.#accusations));
      if (!this.#isOver) this.#challenge(span);
    }
    for (let span = this.#spans.open[0]; span !== undefined && this.#isJudged(span); span = this.#spans.open[0]) {
      this.#spans.finish();
      this.#effects.push({ type: 'checked', ...spanCheck(span, this.#panel) });
    }
    if (!this.#isOver) for (const replica of this.#panel.live) this.#ask(replica);
  }

  #challenge(span: AuditSpan): void {
    const { session, index } = span.span;
    span.isChallenged = true;
    const commit = { statement: span.own, publicKey: this.#config.publicKey, signature: span.signature! };
    for (const replica of this.#panel.live) {
      if (!span.isCutInto) replica.last = span.commitOf(replica);
      span.part(replica).reveal.byMs = this.#nowMs + REVEAL_TIMEOUT_MS;
      this.#send(replica, { type: 'challenge', session, index, seed: this.#seeds.seed(index), commit });
    }
  }

  /** Judges the first span if all have revealed; true once nothing of it is open. */
  #isJudged(span: AuditSpan): boolean {
    if (this.#isOver) return false;
    if (span.results === null) {
      if (!span.isRevealed(this.#panel.live)) return false;
      this.#blame(span, revealBlames(span, this.#panel, this.#accusations));
      if (!this.#isOver) this.#blame(span, finiteBlames(span, this.#panel, this.#config.manifest));
      if (this.#isOver) return false;
      span.results = judgeStages(span, this.#panel, this.#config.manifest, this.#config.drawnAt);
    }
    if (span.isCutInto) return this.#isCutIntoAgreed(span);
    for (const dispute of newDisputes(span, this.#panel)) this.#effects.push({ type: 'dispute', dispute });
    return span.results.every(({ dispute }) => dispute === null);
  }

  /** What a cut took away no third can run again, and its traces may be in what stays: then neither of two is gone on with. */
  #isCutIntoAgreed(span: AuditSpan): boolean {
    const found = differenceIn(span);
    if (found === null) return true;
    this.#fail(this.#panel.primary(found.stage), 'disagreement', { span: span.span, partner: found.shadow });
    return false;
  }

  #blame(span: AuditSpan, blames: readonly Blame[]): void {
    for (const blame of blames) {
      const { replica, partner, code } = blame;
      const proof = proofOf(blame, span, this.#config.envelope);
      this.#fail(replica, code, { span: span.span, partner, proof });
    }
  }

  #fail(replica: AuditReplica, code: CheckFailure, { span, partner = null, proof = null }: Detail = {}): void {
    if (!replica.isLive || this.#isOver) return;
    const { id: peer, stage, role } = replica;
    this.#drop(replica, code !== 'unreachable');
    const isStageBare = this.isStageBare(stage);
    this.#effects.push({ type: 'failed', peer, partner, stage, role, code, span: span ?? null, isStageBare, proof });
  }

  #drop(replica: AuditReplica, isTold: boolean): void {
    replica.isLive = false;
    if (replica.role === 'primary') this.#isOver = true;
    else if (isTold) this.#send(replica, { type: 'close', session: this.#session, reason: 'the check failed' });
  }

  #send(to: AuditReplica, message: PeerMessage): void {
    if (to.isLinked) this.#effects.push({ type: 'send', to: to.id, message });
  }
}
