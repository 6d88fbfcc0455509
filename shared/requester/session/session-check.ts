import type { PeerId } from '../../ids.ts';
import { isLateness, type CheckFailure, type SpanCheck, type StageCheck } from '../../judge/finding.ts';
import { ENGINE_CLASS } from '../../judge/numeric-class.ts';
import { SEED_BYTES } from '../../judge/seed-chain.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { Route } from '../../route/route.ts';
import type { DrawnAt } from '../../rows/sampler.ts';
import { sessionOf } from '../../wire/peer-message.ts';
import { SessionRecords } from '../attest/session-records.ts';
import type { RecordSource } from '../audit/audit-replica.ts';
import { SessionAudit } from '../audit/session-audit.ts';
import type { AuditFailure, AuditHost, Dispute, SpanAudit, Third } from '../audit/span-audit.ts';
import type { SpanBook } from '../audit/span-book.ts';
import { UncheckedSpans } from '../audit/unchecked-spans.ts';
import type { RequesterSession } from '../feed/requester-session.ts';
import type { SessionPort } from '../feed/session-port.ts';
import { reportedCode, type FoundFault } from '../found-fault.ts';
import type { RequesterEvent, RequesterEventOf } from '../requester-event.ts';
import { releaseOfReplay } from '../route-release.ts';
import { blamedOf, doubtful, idsOf, type Party, type Verdict } from '../settle/settlement.ts';
import { Settlements } from '../settle/settlements.ts';
import type { SessionNews, Withheld } from './session-news.ts';

/** The session as its check sees it, with a way to tell it news. */
export interface CheckHost extends SessionPort {
  tell(news: SessionNews): void;
}

/**
 * The check of one session as a whole: its audit, its records and the settling of differences, one after the other, report
 * here, and each report becomes news for the session.
 */
export class SessionCheck {
  readonly #host: CheckHost;
  readonly #session: RequesterSession;
  readonly #book: SpanBook;
  readonly #audit: SpanAudit;
  /** Null before the first difference. */
  #settlements: Settlements | null = null;
  /** Null before the end of the first answer. */
  #records: SessionRecords | null = null;
  /** Shadows that were left out gently. */
  readonly #spared = new Set<PeerId>();
  /** Replicas that were named for a word that they withhold. */
  readonly #withholding = new Set<PeerId>();
  #isBroken = false;

  constructor(host: CheckHost, book: SpanBook) {
    this.#host = host;
    this.#session = host.session;
    this.#book = book;
    this.#audit = book.isChecked
      ? this.#startAudit()
      : new UncheckedSpans(this.#session.route, book, { judged: () => this.#onJudged() });
  }

  #startAudit(): SessionAudit {
    const { config } = this.#host;
    const { route, envelope } = this.#session;
    const { manifest, publicKey } = config;
    const secret = config.random(SEED_BYTES);
    const drawnAt: DrawnAt = (position) => this.#session.drawnAt(position);
    return new SessionAudit({ route, envelope, manifest, publicKey, secret, drawnAt }, this.#book, this.#auditHost());
  }

  /** True while somebody checks this stage. */
  isChecked(stage: number): boolean {
    return this.#audit.live.some((replica) => replica.role === 'shadow' && replica.stage === stage);
  }

  /** True while a third is asked: nothing may be cut. */
  get isSettling(): boolean {
    return this.#settlements?.isSettling === true;
  }

  /** True while a third is asked about rows: nothing new should be fed. Whose draw goes on is found out beside the stream. */
  get isHalted(): boolean {
    return this.#settlements?.isSettlingRows === true;
  }

  get deadlineMs(): number {
    return Math.min(
      this.#audit.deadlineMs,
      ...[this.#settlements, this.#records].map((each) => each?.deadlineMs ?? Infinity),
    );
  }

  /** True if it has had as many spans, or records, as it may: the answer should go on in another session. */
  get isSpent(): boolean {
    return this.#book.isSpent || this.#records?.isSpent === true;
  }

  /** End of the seed chain; null where nothing is checked. */
  get anchor(): Uint8Array<ArrayBuffer> | null {
    return this.#audit.anchor;
  }

  /** True while replicas' records may still come. */
  get isRecording(): boolean {
    return this.#records?.isRecording === true;
  }

  /** The number of the newest record that was asked for; 0 before the first. */
  get recordNumber(): number {
    return this.#records?.number ?? 0;
  }

  get attestations(): Evidence['attestations'] {
    return this.#records?.attestations ?? [];
  }

  /** Asks every replica that was not dropped to sign what it did, up to the end of the session as it is now. */
  record(salt: Uint8Array<ArrayBuffer>): void {
    this.#records ??= new SessionRecords(this.#host, {
      wrong: (source, code) => this.#onWrongRecord(source, code),
      withheld: ({ id }) => this.#complainOf(id),
      recorded: () => this.#host.tell({ type: 'recorded' }),
    });
    this.#records.start(salt, this.#audit.live);
    this.#host.recordSalt.renew();
  }

  /** Waits for no more records. */
  stopRecords(): void {
    this.#records?.stop();
  }

  start(): void {
    this.#audit.start();
    for (const { id } of this.#session.route.stages[0]!.shadows) {
      if (!this.#session.shadows.has(id)) this.audit?.unreachable(id);
    }
  }

  /** Hears of events of the session itself; null once the session is of no use. */
  get audit(): SpanAudit | null {
    return this.#isBroken ? null : this.#audit;
  }

  /** Goes on without a shadow that answers nothing, which is no fault on record. */
  leave(shadow: PeerId): void {
    this.#spared.add(shadow);
    // It hears of that when it moves again: nobody else would tell it, and its slot would stay taken.
    const { id: session } = this.#session;
    this.#host.perform({ type: 'send', to: shadow, message: { type: 'close', session, reason: 'it answers nothing' } });
    this.audit?.unreachable(shadow);
  }

  /** A replica withholds a word, and the answer is to leave it. It is named once, though nobody may take its place. */
  withheld({ span: { start, end }, ...word }: Withheld): void {
    if (this.#withholding.has(word.volunteer)) return;
    this.#withholding.add(word.volunteer);
    this.#blame({ ...word, start, end, proof: null });
  }

  /** Takes what may be about the check. */
  handle(event: RequesterEvent): void {
    this.#records?.handle(event);
    switch (event.type) {
      case 'replay-routed':
        if (this.isSettling) return this.#settlements?.handle(event);
        return this.#host.perform(releaseOfReplay(event.route.session, 'cancelled'));
      case 'connected':
        if (event.session !== this.#session.id) return this.#settlements?.handle(event);
        return this.audit?.linked(event.peer);
      case 'connect-failed':
        if (event.session !== this.#session.id) return this.#settlements?.handle(event);
        return this.audit?.unreachable(event.peer);
      case 'link-lost':
        this.audit?.unreachable(event.peer);
        return this.#settlements?.handle(event);
      case 'message':
        return this.#onMessage(event);
      case 'time':
        this.audit?.onTime();
        return this.#settlements?.handle(event);
      default:
        return this.#settlements?.handle(event);
    }
  }

  /** Gives back what is under way. */
  stop(): void {
    this.stopRecords();
    this.#settlements?.stop();
  }

  #onMessage(event: RequesterEventOf<'message'>): void {
    const isOfAnswer = sessionOf(event.message) === this.#session.id;
    if (!isOfAnswer || event.message.type === 'recalled') this.#settlements?.handle(event);
    else this.audit?.onMessage(event.from, event.message);
  }

  #auditHost(): AuditHost {
    const host = this.#host;
    const session = this.#session.id;
    const unlessBroken = <Args extends unknown[]>(act: (...args: Args) => void) => {
      return (...args: Args) => (this.#isBroken ? undefined : act(...args));
    };
    return {
      get nowMs() {
        return host.nowMs;
      },
      connect: unlessBroken((peer, webrtc) => host.perform({ type: 'connect', session, peer, webrtc })),
      send: unlessBroken((to, message) => {
        if (message.type === 'close') this.#session.shadows.drop(to);
        host.perform({ type: 'send', to, message });
      }),
      sign: unlessBroken((bytes, then) => host.sign(bytes, unlessBroken(then))),
      verify: unlessBroken((signed, then) => host.verify(signed, unlessBroken(then))),
      judged: unlessBroken(() => this.#onJudged()),
      redrawn: unlessBroken((redraw) => host.tell({ type: 'redrawn', redraw })),
      dispute: unlessBroken((dispute) => this.#onDispute(dispute)),
      failed: unlessBroken((failure) => this.#onFailed(failure)),
      bare: (shadow, third) => {
        this.#book.verdicts.addBare({ shadow, partner: null, isShown: isFinal(third, []), isLate: false });
      },
    };
  }

  #onJudged(): void {
    for (const check of this.#book.verdicts.take()) this.#host.tell({ type: 'checked', check });
  }

  #onWrongRecord({ id: volunteer, stage, role }: RecordSource, code: CheckFailure): void {
    this.#blame({ volunteer, stage, role, code, start: 0, end: this.#session.length, proof: null });
  }

  /** The server looks for itself; to people nobody is named for what may have been lost on the way. */
  #complainOf(volunteer: PeerId): void {
    if (this.#withholding.has(volunteer)) return;
    this.#withholding.add(volunteer);
    this.#session.faults.push({ volunteer, code: 'timeout' });
  }

  #onFailed({ peer, partner, stage, role, code, span, proof, isStageBare }: AuditFailure): void {
    const at = { start: span?.start ?? this.#session.length, end: span?.end ?? this.#session.length };
    // One's word against another's is no fault of either.
    const isBlamed = partner === null && !this.#spared.has(peer);
    if (isBlamed) this.#blame({ volunteer: peer, stage, role, code, ...at, proof });
    if (role === 'primary') {
      const parties = [this.#replica(peer), ...(partner === null ? [] : [this.#replica(partner)])];
      const blamed = code === 'disagreement' ? doubtful(parties) : idsOf(parties);
      return this.#break({ blamed, disputed: null, isShown: partner === null, isLoss: code === 'unreachable' });
    }
    this.#session.shadows.drop(peer);
    if (partner !== null) this.#host.tell({ type: 'doubted', between: [peer, partner] });
    const bare = { shadow: peer, partner, isShown: partner === null, isLate: isLateness(code) };
    if (isStageBare) this.#book.verdicts.addBare(bare);
    this.#tellBare();
  }

  /** A replica of the route, or a third, of which no more is known. */
  #replica(id: PeerId): Party {
    const replicas = this.#session.route.stages.flatMap(({ primary, shadows }) => [primary, ...shadows]);
    return { peer: id, numericClass: replicas.find((replica) => replica.id === id)?.numericClass ?? ENGINE_CLASS };
  }

  #onDispute(dispute: Dispute): void {
    this.#settlements ??= new Settlements(this.#host, {
      asked: (of, role) => this.#onAsked(of, role),
      concluded: (of, verdict) => this.#onConcluded(of, verdict),
    });
    this.#settlements.add(dispute);
  }

  #onAsked({ about, stage, span: { start, end } }: Dispute, role: 'arbiter' | 'referee'): void {
    if (about === 'rows') this.#host.tell({ type: 'settling', stage, start, end, role });
  }

  #onConcluded(dispute: Dispute, verdict: Verdict): void {
    this.#conclude(dispute, verdict);
    if (this.#isBroken) return;
    this.#settlements?.next();
    if (this.isSettling) return;
    this.#tellBare();
    this.#host.tell({ type: 'settled' });
  }

  #conclude(dispute: Dispute, verdict: Verdict): void {
    const { wrong, third, proofs } = verdict;
    const { about, stage, span } = dispute;
    for (const role of ['primary', 'shadow'] as const) {
      const proof = proofs.find(({ accused }) => accused === role)?.proof ?? null;
      if (wrong !== role && wrong !== 'both' && proof === null) continue;
      const { start, end } = span;
      this.#blame({ volunteer: dispute[role].peer, stage, role, code: 'disagreement', start, end, proof });
    }
    // Rows that agreed stay where they are; nobody said whose draw is right.
    const isOpen = about === 'draw' && wrong === 'unknown';
    if (isOpen) return this.audit?.settled({ index: span.index, stage, wrong: 'nobody', third: null });
    if (wrong !== 'nobody' && wrong !== 'shadow') {
      const isDisputed = wrong === 'unknown' || wrong === 'both';
      const disputed = isDisputed ? disputedCheck(dispute, this.#session.route) : null;
      const blamed = blamedOf(dispute, verdict);
      return this.#break({ blamed, disputed, isShown: isFinal(third, proofs), isLoss: false });
    }
    if (third === null) return;
    if (wrong === 'shadow') this.#session.shadows.drop(dispute.shadow.peer);
    this.audit?.settled({ index: span.index, stage, wrong, third });
  }

  /** Waits while a difference is being settled, for that may name somebody. */
  #tellBare(): void {
    if (this.isSettling) return;
    const { bare, checks } = this.#book.verdicts.takeAll();
    for (const each of bare) this.#host.tell({ type: 'bare', ...each });
    for (const check of checks) this.#host.tell({ type: 'checked', check });
  }

  #blame(fault: FoundFault): void {
    this.#session.faults.push({ volunteer: fault.volunteer, code: reportedCode(fault.code) });
    this.#host.tell({ type: 'fault', fault });
  }

  #break({ disputed, ...news }: Omit<Extract<SessionNews, { type: 'broken' }>, 'type'>): void {
    this.#isBroken = true;
    if (disputed !== null) this.#book.verdicts.addDisputed();
    this.#host.tell({ type: 'broken', disputed, ...news });
  }
}

/** True where more than an arbiter's word is against those who are wrong. */
function isFinal(third: Third | null, proofs: Verdict['proofs']): boolean {
  return proofs.length > 0 || third?.by.role === 'referee';
}

/** The verdict on a span of which nobody could say who is wrong. */
function disputedCheck({ span, stage, finding }: Dispute, { stages }: Route): SpanCheck {
  const { range, primary } = stages[stage]!;
  const disputed: StageCheck = {
    stage,
    range,
    tier: 'disputed',
    primary: primary.id,
    primaryClass: primary.numericClass,
    findings: [finding],
    arbiter: null,
    reason: null,
    drawnBy: null,
  };
  return { start: span.start, end: span.end, tier: 'disputed', stages: [disputed] };
}
