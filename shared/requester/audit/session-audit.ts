import type { PeerId, SessionId } from '../../ids.ts';
import type { CheckFailure } from '../../judge/finding.ts';
import { createSeedChain, type SeedChain } from '../../judge/seed-chain.ts';
import { commitBytes } from '../../judge/statement-codec.ts';
import type { Commit, Reveal, Span } from '../../judge/statement.ts';
import { CHECK_SILENCE_MS, COMMIT_TIMEOUT_MS, MAX_REDRAWS, REVEAL_TIMEOUT_MS } from '../../limits.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import type { PeerMessage, RowsMessage } from '../../wire/peer-message.ts';
import { Accusations, commitBlames, proofOf, REFUSALS, revealBlames, type Blame } from './audit-binding.ts';
import type { AuditConfig } from './audit-config.ts';
import { AuditDeadlines, fallsBehind, overdue, spansToAsk } from './audit-deadlines.ts';
import { decideDraws, drawDispute, type DrawDecision } from './audit-draws.ts';
import { hearSignature, takeCommit, takeReveal, type Intake } from './audit-intake.ts';
import { AuditPanel, type AuditReplica } from './audit-replica.ts';
import type { AuditSpan, Held, Word } from './audit-span.ts';
import { differenceIn, finiteBlames, judgeStages, newDisputes, settle, spanCheck } from './audit-verdict.ts';
import type { AuditHost, Clearance, SpanAudit, TokenRedraw } from './span-audit.ts';
import type { SpanBook } from './span-book.ts';

interface Detail {
  readonly span?: Span | undefined;
  readonly partner?: PeerId | null;
  readonly proof?: Proof | null;
}

/**
 * The requester's check of one session. It closes the spans of the book, has every replica commit to each, challenges them
 * in order once all of them have, holds what they reveal against each other and gives a verdict on each span in order. A
 * shadow that fails is dropped; with a failed primary it is all over.
 */
export class SessionAudit implements SpanAudit {
  readonly #config: AuditConfig;
  readonly #session: SessionId;
  readonly #book: SpanBook;
  readonly #host: AuditHost;
  readonly #panel: AuditPanel;
  readonly #accusations = new Accusations();
  readonly #deadlines = new AuditDeadlines();
  readonly #seeds: SeedChain;
  #isOver = false;
  /** A token was drawn anew, and what was computed after it is not cut off yet. */
  #isCutDue = false;
  #redraws = 0;

  constructor(config: AuditConfig, book: SpanBook, host: AuditHost) {
    this.#config = config;
    this.#book = book;
    this.#host = host;
    this.#seeds = createSeedChain(config.secret);
    this.#deadlines.linkByMs = host.nowMs + COMMIT_TIMEOUT_MS;
    this.#session = config.route.session;
    this.#panel = new AuditPanel(config.route);
  }

  /** End of the chain of the seeds. */
  get anchor(): Uint8Array<ArrayBuffer> {
    return this.#seeds.anchor;
  }

  /** Replicas that were not dropped. */
  get live(): readonly AuditReplica[] {
    return this.#panel.live;
  }

  /** True once a primary has failed: the session is of no more use. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** True if nobody checks the stage (any more). */
  isStageBare(stage: number): boolean {
    return this.#panel.shadows(stage).length === 0;
  }

  get deadlineMs(): number {
    return this.#isOver ? Infinity : this.#deadlines.next(this.#book.open, this.#panel);
  }

  /** Asks for a link to every replica. */
  start(): void {
    for (const { id: peer, webrtc } of this.#panel.all) this.#host.connect(peer, webrtc);
  }

  linked(peer: PeerId): void {
    this.#act(() => {
      const replica = this.#panel.find(peer);
      if (replica === undefined || !replica.isLive || replica.isLinked) return;
      replica.isLinked = true;
      this.#send(replica, { type: 'audit', session: this.#session, anchor: this.#seeds.anchor });
    });
  }

  unreachable(peer: PeerId): void {
    this.#act(() => {
      const replica = this.#panel.find(peer);
      if (replica !== undefined) this.#fail(replica, 'unreachable');
    });
  }

  refused(peer: PeerId): void {
    this.#act(() => {
      const shadow = this.#panel.find(peer);
      if (shadow?.isLive !== true || shadow.stage === 0) return;
      const sender = this.#panel.primary(shadow.stage - 1);
      const blames = this.#accusations.contradict(sender, [shadow], REFUSALS);
      for (const { replica, partner, code } of blames) this.#fail(replica, code, { partner });
    });
  }

  received(rows: RowsMessage, end: number): void {
    this.#act((nowMs) => this.#closed(this.#book.receive(rows, end), nowMs + CHECK_SILENCE_MS));
  }

  cut(epoch: number, position: number): void {
    this.#act((nowMs) => {
      this.#isCutDue = false;
      for (const replica of this.#panel.all) if ((replica.last?.end ?? 0) > position) replica.last = null;
      this.#closed(this.#book.cut(epoch, position), nowMs + CHECK_SILENCE_MS);
    });
  }

  closeSpan(): void {
    this.#act(() => this.#closed(this.#book.close()));
  }

  onMessage(from: PeerId, message: PeerMessage): void {
    this.#act(() => this.#onMessage(from, message));
  }

  settled({ index, stage, wrong, third }: Clearance): void {
    this.#act(() => {
      const result = this.#book.find(index)?.results?.[stage];
      const shadow = result?.dispute?.finding.shadow;
      if (result === undefined || shadow === undefined) return;
      settle(result, third);
      if (wrong === 'nobody') return;
      const replica = this.#panel.find(shadow)!;
      const wasLive = replica.isLive;
      this.#drop(replica, true);
      if (wasLive && this.isStageBare(stage)) this.#host.bare(shadow, third);
    });
  }

  onTime(): void {
    this.#act((nowMs) => this.#onTime(nowMs));
  }

  /** Does what something that has happened calls for, and whatever can be done by then. */
  #act(act: (nowMs: number) => void): void {
    if (this.#isOver) return;
    const { nowMs } = this.#host;
    this.#deadlines.excuse(this.#book.open, this.#panel, nowMs);
    act(nowMs);
    this.#advance();
  }

  #closed(closed: readonly AuditSpan[], silentByMs = this.#deadlines.silentByMs): void {
    this.#deadlines.silentByMs = this.#book.isGrowing ? silentByMs : Infinity;
    for (const span of closed) {
      this.#host.sign(commitBytes(span.own), (signature) => this.#act(() => (span.signature = signature)));
      for (const replica of this.#panel.live) {
        this.#ask(replica);
        if (fallsBehind(this.#book.open, replica, span)) this.#fail(replica, 'too-slow', { span: span.span });
      }
    }
  }

  #ask(replica: AuditReplica): void {
    for (const span of spansToAsk(this.#book.open, replica)) {
      span.wordsOf(replica).commit.byMs = this.#host.nowMs + COMMIT_TIMEOUT_MS;
      this.#send(replica, { type: 'check', ...span.span });
    }
  }

  #onMessage(from: PeerId, message: PeerMessage): void {
    const replica = this.#panel.find(from);
    if (replica === undefined || !replica.isLive) return;
    const { manifest } = this.#config;
    const { nowMs } = this.#host;
    if (message.type === 'commit') {
      const intake = takeCommit(this.#book, replica, message.commit, nowMs);
      this.#take(replica, 'commit', message.commit.statement.index, intake);
    } else if (message.type === 'reveal') {
      const intake = takeReveal(this.#book, replica, message.reveal, nowMs, manifest, this.#seeds);
      this.#take(replica, 'reveal', message.reveal.statement.index, intake);
    } else if (message.type === 'fault' && message.session === this.#session && replica.role === 'shadow') {
      // It says itself that it has left the session.
      this.#fail(replica, 'unreachable');
    }
  }

  #take(replica: AuditReplica, kind: 'commit' | 'reveal', index: number, intake: Intake<Commit | Reveal>): void {
    const span = this.#book.find(index);
    if (intake.type === 'failed') return this.#fail(replica, intake.code, { span: span?.span });
    if (intake.type !== 'taken' || span === undefined) return;
    const { held, isSecond } = intake;
    const word: Word<Commit | Reveal> = span.wordsOf(replica)[kind];
    if (isSecond) word.second = held;
    else word.first = held;
    const { publicKey, signature } = held.signed;
    this.#host.verify({ publicKey, bytes: held.bytes, signature }, (isGood) => {
      this.#act(() => this.#onVerified(replica, span, kind, held, isGood));
    });
  }

  #onVerified(
    replica: AuditReplica,
    span: AuditSpan,
    kind: 'commit' | 'reveal',
    held: Held<Commit | Reveal>,
    isGood: boolean,
  ): void {
    const failure = hearSignature(kind, span.wordsOf(replica)[kind], held, isGood, this.#config.envelope);
    if (failure !== null && !this.#book.isVoid(span.span.index))
      this.#fail(replica, failure.code, { ...failure, span: span.span });
  }

  #onTime(nowMs: number): void {
    if (nowMs >= this.#deadlines.silentByMs) this.#closed(this.#book.close());
    const isLinkDue = nowMs >= this.#deadlines.linkByMs;
    if (isLinkDue) this.#deadlines.linkByMs = Infinity;
    for (const replica of this.#panel.live) {
      if (isLinkDue && !replica.isLinked) this.#fail(replica, 'unreachable');
      const missing = overdue(this.#book.open, replica, nowMs);
      if (missing !== null) this.#fail(replica, missing.code, missing);
    }
  }

  /** Challenges and judges whatever can be by now. */
  #advance(): void {
    for (const span of this.#book.open) {
      if (span.isChallenged) continue;
      if (this.#isOver || !span.isCommitted(this.#panel.live)) break;
      this.#blame(span, commitBlames(span, this.#panel, this.#accusations));
      if (!this.#isOver) this.#challenge(span);
    }
    while (!this.#isCutDue && this.#judgeNext());
    if (!this.#isOver) for (const replica of this.#panel.live) this.#ask(replica);
  }

  /** Judges the first span, if it can be; false if not. */
  #judgeNext(): boolean {
    const span = this.#book.open[0];
    const draw = span === undefined ? null : this.#drawOf(span);
    if (span === undefined || draw === null) return false;
    if (draw.type === 'other') {
      this.#redraws += 1;
      if (this.#redraws > MAX_REDRAWS) return this.#outdraw(span, draw.redraw);
      span.keptEnd = draw.redraw.position;
      this.#isCutDue = true;
      this.#host.redrawn(draw.redraw);
    }
    this.#book.judge(spanCheck(span, this.#panel, draw, this.#config.manifest));
    this.#host.judged();
    return true;
  }

  /** Honest devices lose a draw in thousands: a primary that loses every few is slower than none. Nothing shows that it lies. */
  #outdraw({ span }: AuditSpan, { stage, by }: TokenRedraw): false {
    this.#fail(this.#panel.primary(stage), 'disagreement', { span, partner: by });
    return false;
  }

  /** Whose draw goes on at the end of a span, of which nothing else is open; null while anything is. */
  #drawOf(span: AuditSpan): DrawDecision | null {
    if (!this.#isJudged(span)) return null;
    const stage = this.#panel.stages - 1;
    const draw = decideDraws(span, this.#panel, stage, this.#config.manifest.config.vocabularySize);
    if (draw.type !== 'ask') return draw;
    const dispute = drawDispute(span, this.#panel, stage, draw.shadow);
    span.results![stage]!.dispute = dispute;
    this.#host.dispute(dispute);
    return null;
  }

  #challenge(span: AuditSpan): void {
    const { session, index } = span.span;
    span.isChallenged = true;
    const commit = { statement: span.own, publicKey: this.#config.publicKey, signature: span.signature! };
    for (const replica of this.#panel.live) {
      if (!span.isCutInto) replica.last = span.commitOf(replica);
      span.wordsOf(replica).reveal.byMs = this.#host.nowMs + REVEAL_TIMEOUT_MS;
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
    for (const dispute of newDisputes(span, this.#panel)) this.#host.dispute(dispute);
    return span.results.every(({ dispute }) => dispute === null);
  }

  /** No third can run rows again that a cut took away, and their traces may be in the rest: a difference ends the session. */
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
    this.#host.failed({ peer, partner, stage, role, code, span: span ?? null, isStageBare, proof });
  }

  #drop(replica: AuditReplica, isTold: boolean): void {
    replica.isLive = false;
    if (replica.role === 'primary') this.#isOver = true;
    else if (isTold) this.#send(replica, { type: 'close', session: this.#session, reason: 'the check failed' });
  }

  #send(to: AuditReplica, message: PeerMessage): void {
    if (to.isLinked) this.#host.send(to.id, message);
  }
}
