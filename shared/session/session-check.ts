import type { AuditEffect, AuditEvent, Dispute } from '../check/audit-event.ts';
import type { CheckFailure, SpanCheck, StageCheck } from '../check/finding.ts';
import type { Proof } from '../check/proof-schema.ts';
import { SEED_BYTES } from '../check/seed-chain.ts';
import { SessionAudit } from '../check/session-audit.ts';
import type { ErrorCode } from '../errors.ts';
import type { PeerId } from '../ids.ts';
import { MAX_RECORDS } from '../limits.ts';
import type { Evidence } from '../receipt/evidence.ts';
import type { AnswerEvent } from './answer-event.ts';
import type { Now } from './replica-event.ts';
import { releaseOfReplay } from './replay-session.ts';
import { RecordCollector, type CollectorEffect } from './record-collector.ts';
import type { Release, RequesterConfig, SessionEffect } from './requester-event.ts';
import type { RequesterSession } from './requester-session.ts';
import { sessionOf } from './session-of.ts';
import { blamedOf, Settlement, type SettlementEvent, type Verdict } from './settlement.ts';
import { SpanLedger } from './span-ledger.ts';
import { UncheckedSpans } from './unchecked-spans.ts';

const SILENT: ReadonlySet<CheckFailure> = new Set([
  'commit-missing',
  'commit-late',
  'reveal-missing',
  'reveal-late',
  'too-slow',
]);

/** A replica that failed, with what shows it to the server where there is such a thing. */
export interface FoundFault {
  readonly volunteer: PeerId;
  readonly stage: number;
  readonly role: 'primary' | 'shadow';
  readonly code: CheckFailure;
  readonly start: number;
  readonly end: number;
  readonly proof: Proof | null;
}

export type CheckEffect = SessionEffect | CheckNews;

/** What the check of a session means for the answer. */
export type CheckNews =
  | { readonly type: 'checked'; readonly check: SpanCheck }
  | Extract<AnswerEvent, { type: 'settling' }>
  /** The difference is settled; the answer may go on. */
  | { readonly type: 'settled' }
  | { readonly type: 'fault'; readonly fault: FoundFault }
  /**
   * A shadow is gone, with whom nobody checks its stage any more; `partner` is whom it contradicts. Comes before the first
   * verdict that is the worse for it, and after the settling of any difference.
   */
  | { readonly type: 'bare'; readonly shadow: PeerId; readonly partner: PeerId | null }
  /** One of these is wrong, and nothing tells which; the session goes on without the shadow. */
  | { readonly type: 'doubted'; readonly between: readonly PeerId[] }
  /** The replicas' records are there, as far as they came in time. */
  | { readonly type: 'recorded' }
  /** The session is of no use: nothing that it gave after the last verdict counts. */
  | { readonly type: 'broken'; readonly blamed: readonly PeerId[]; readonly disputed: SpanCheck | null };

/**
 * Everything about the check of one session: its audit, and the settling of differences one after the other. Takes what the
 * audit takes, and what comes in for either of the two.
 */
export class SessionCheck {
  readonly #config: RequesterConfig;
  readonly #session: RequesterSession;
  readonly #audit: SessionAudit | UncheckedSpans;
  readonly #nextTicket: () => number;
  readonly #disputes: Dispute[] = [];
  #settlement: Settlement | null = null;
  #announced: string | null = null;
  readonly #live: Map<number, Set<PeerId>>;
  readonly #counts = { checked: 0, settled: 0, unchecked: 0, disputed: 0 };
  readonly #agreed = new Map<PeerId, number>();
  readonly #ledger = new SpanLedger();
  #records: RecordCollector | null = null;
  #recordCount = 0;
  /** Records that each replica has been asked for and has not given. */
  readonly #unanswered = new Map<PeerId, number>();
  #effects: CheckEffect[] = [];
  #now: Now = { nowMs: 0, wallMs: 0 };
  #isBroken = false;
  /** Shadows that left their stage without any, not told of yet. */
  readonly #bare: { readonly shadow: PeerId; readonly partner: PeerId | null }[] = [];
  /** Verdicts from the first one on that is the worse for it. */
  readonly #held: SpanCheck[] = [];

  /** `nextTicket` numbers what is asked of the server. */
  constructor(config: RequesterConfig, session: RequesterSession, nextTicket: () => number, { nowMs }: Now) {
    this.#config = config;
    this.#session = session;
    this.#nextTicket = nextTicket;
    const { route, envelope } = session;
    this.#live = new Map(route.stages.map(({ shadows }, stage) => [stage, new Set(shadows.map(({ id }) => id))]));
    this.#audit = this.isChecked
      ? new SessionAudit({
          route,
          envelope,
          manifest: config.manifest,
          publicKey: config.publicKey,
          secret: config.random(SEED_BYTES),
          drawnAt: (position) => session.drawnAt(position),
          nowMs,
        })
      : new UncheckedSpans(route);
  }

  /** False where each stage had one replica from the start. */
  get isChecked(): boolean {
    return this.#session.route.stages.some(({ shadows }) => shadows.length > 0);
  }

  /** True while a third is asked: nothing new should be fed. */
  get isSettling(): boolean {
    return this.#settlement !== null;
  }

  get deadlineMs(): number {
    const waits = [this.#audit, this.#settlement, this.#records];
    return Math.min(...waits.map((each) => each?.deadlineMs ?? Infinity));
  }

  /** For the session's release. */
  get checks(): Release['checks'] {
    return { ...this.#counts, agreed: [...this.#agreed].map(([volunteer, spans]) => ({ volunteer, spans })) };
  }

  /** True if it has had as many spans, or records, as it may: the answer should go on in another session. */
  get isSpent(): boolean {
    return this.#audit.isSpent || this.#recordCount >= MAX_RECORDS;
  }

  /** End of the seed chain; null where nothing is checked. */
  get anchor(): Uint8Array<ArrayBuffer> | null {
    return this.#audit.anchor;
  }

  /** The verdicts on the session as it is now, from position 0 on. */
  get spans(): SpanCheck[] {
    return this.#ledger.upTo(this.#session.length);
  }

  /** True while replicas' records may still come. */
  get isRecording(): boolean {
    return this.#records?.isDone === false;
  }

  get attestations(): Evidence['attestations'] {
    return this.#records?.attestations ?? [];
  }

  /** Asks every replica that was not dropped to sign what it did, up to the end of the session as it is now. */
  record(salt: Uint8Array<ArrayBuffer>, now: Now): CheckEffect[] {
    this.#now = now;
    this.#effects = [];
    const { model, manifest } = this.#config;
    const { id: session, tokens, fedRuns: runs } = this.#session;
    const runtime = { name: manifest.pins.runtime, version: manifest.pins.runtimeVersion };
    const task = { session, model, runtime, salt, tokens, runs };
    const records = new RecordCollector(task, this.#audit.live, this.#unanswered, now.nowMs);
    this.#records = records;
    this.#recordCount += 1;
    this.#collect(records.start());
    return this.#effects;
  }

  /** Waits for no more records. */
  stopRecords(): void {
    this.#records?.stop();
  }

  start(now: Now): CheckEffect[] {
    this.#now = now;
    this.#effects = [];
    this.#tell({ type: 'time' });
    for (const { id } of this.#session.route.stages[0]!.shadows) {
      if (!this.#session.shadows.has(id)) this.#tell({ type: 'unreachable', peer: id });
    }
    return this.#effects;
  }

  handle(event: AuditEvent | SettlementEvent, now: Now): CheckEffect[] {
    this.#now = now;
    this.#effects = [];
    this.#dispatch(event);
    return this.#effects;
  }

  /** Gives back what is under way. */
  stop(): SessionEffect[] {
    this.stopRecords();
    return this.#settlement?.stop() ?? [];
  }

  #dispatch(event: AuditEvent | SettlementEvent): void {
    if (this.isRecording) this.#collect(this.#toRecords(event));
    switch (event.type) {
      case 'record-verified':
        return;
      case 'replay-routed':
        if (this.#settlement !== null) return this.#settle(event);
        this.#effects.push(releaseOfReplay(event.route.session, 'cancelled'));
        return;
      case 'replay-refused':
        return this.#settle(event);
      case 'connected':
      case 'connect-failed':
        if (event.session !== this.#session.id) return this.#settle(event);
        return this.#tell({ type: event.type === 'connected' ? 'linked' : 'unreachable', peer: event.peer });
      case 'verified':
      case 'signed':
        if ('session' in event && event.session !== this.#session.id) return this.#settle(event);
        return this.#tell(event);
      case 'link-lost':
        this.#tell({ type: 'unreachable', peer: event.peer });
        return this.#settle(event);
      case 'message':
        return this.#onMessage(event);
      case 'time':
        this.#tell(event);
        return this.#settle(event);
      default:
        return this.#tell(event);
    }
  }

  /** Something that may be about the records. */
  #toRecords(event: AuditEvent | SettlementEvent): CollectorEffect[] {
    const records = this.#records!;
    const isOwn = !('session' in event) || event.session === this.#session.id;
    if (!isOwn) return [];
    switch (event.type) {
      case 'connected':
        return records.onLinked(event.peer);
      case 'connect-failed':
      case 'link-lost':
        records.onLost(event.peer);
        return [];
      case 'message':
        return event.message.type === 'recorded' ? records.onMessage(event.from, event.message) : [];
      case 'record-verified':
        return records.onVerified(event.peer, event.isGood);
      case 'time':
        records.onTime(this.#now.nowMs);
        return [];
      default:
        return [];
    }
  }

  #collect(effects: readonly CollectorEffect[]): void {
    for (const effect of effects) {
      if (effect.type !== 'wrong-record') this.#effects.push(effect);
      else {
        const { id: volunteer, stage, role } = effect.source;
        this.#blame({ volunteer, stage, role, code: effect.code, start: 0, end: this.#session.length, proof: null });
      }
    }
    if (!this.isRecording) this.#effects.push({ type: 'recorded' });
  }

  #onMessage(event: Extract<AuditEvent, { type: 'message' }>): void {
    const isOfAnswer = sessionOf(event.message) === this.#session.id;
    if (!isOfAnswer || event.message.type === 'recalled') this.#settle(event);
    else this.#tell(event);
  }

  /** Something for the audit. */
  #tell(event: AuditEvent): void {
    if (this.#isBroken) return;
    if (event.type === 'cut') this.#ledger.cut(event.position);
    for (const effect of this.#audit.handle(event, this.#now)) this.#performAudit(effect);
  }

  #performAudit(effect: AuditEffect): void {
    if (this.#isBroken) return;
    const session = this.#session.id;
    switch (effect.type) {
      case 'connect':
      case 'verify':
      case 'sign':
        this.#effects.push({ ...effect, session });
        return;
      case 'send':
        if (effect.message.type === 'close') this.#session.shadows.drop(effect.to);
        this.#effects.push(effect);
        return;
      case 'checked':
        return this.#onChecked(effect.check, effect.agreed);
      case 'dispute':
        this.#disputes.push(effect.dispute);
        return this.#settleNext();
      case 'failed':
        return this.#onFailed(effect);
    }
  }

  #onChecked(check: SpanCheck, agreed: readonly PeerId[]): void {
    this.#counts[check.tier] += 1;
    this.#ledger.add(check);
    for (const peer of agreed) this.#agreed.set(peer, (this.#agreed.get(peer) ?? 0) + 1);
    const isHeld = this.#held.length > 0 || (this.#bare.length > 0 && check.tier === 'unchecked');
    if (isHeld) this.#held.push(check);
    else this.#effects.push({ type: 'checked', check });
  }

  #onFailed(failed: Extract<AuditEffect, { type: 'failed' }>): void {
    const { peer, partner, stage, role, code, span, proof, isStageBare } = failed;
    const at = { start: span?.start ?? this.#session.length, end: span?.end ?? this.#session.length };
    // One's word against another's is no fault of either.
    if (partner === null) this.#blame({ volunteer: peer, stage, role, code, ...at, proof });
    if (role === 'primary') return this.#break([peer, ...(partner === null ? [] : [partner])], null);
    this.#live.get(stage)?.delete(peer);
    this.#session.shadows.drop(peer);
    if (partner !== null) this.#effects.push({ type: 'doubted', between: [peer, partner] });
    if (isStageBare) this.#bare.push({ shadow: peer, partner });
    this.#tellBare();
  }

  /** Something for the settlement under way. */
  #settle(event: SettlementEvent): void {
    const settlement = this.#settlement;
    if (settlement === null) return;
    this.#effects.push(...settlement.handle(event, this.#now));
    this.#afterSettlement(settlement);
  }

  #settleNext(): void {
    if (this.#settlement !== null) return;
    const dispute = this.#disputes.shift();
    if (dispute === undefined) return;
    const settlement = new Settlement(this.#config, this.#session, dispute, this.#nextTicket);
    this.#settlement = settlement;
    this.#effects.push(...settlement.start(this.#now));
    this.#afterSettlement(settlement);
  }

  #afterSettlement(settlement: Settlement): void {
    const { dispute, verdict, role } = settlement;
    const { stage, span } = dispute;
    if (verdict === null) {
      const label = `${span.index} ${stage} ${role}`;
      if (this.#announced === label) return;
      this.#announced = label;
      this.#effects.push({ type: 'settling', stage, start: span.start, end: span.end, role });
      return;
    }
    this.#settlement = null;
    this.#conclude(dispute, verdict);
    if (this.#isBroken) return;
    this.#settleNext();
    if (this.isSettling) return;
    this.#tellBare();
    this.#effects.push({ type: 'settled' });
  }

  #conclude(dispute: Dispute, { wrong, arbiter, proofs }: Verdict): void {
    const { stage, span } = dispute;
    for (const role of ['primary', 'shadow'] as const) {
      const proof = proofs.find(({ accused }) => accused === role)?.proof ?? null;
      if (wrong !== role && wrong !== 'both' && proof === null) continue;
      const { start, end } = span;
      this.#blame({ volunteer: dispute[role].peer, stage, role, code: 'disagreement', start, end, proof });
    }
    if (wrong !== 'nobody' && wrong !== 'shadow') {
      const isDisputed = wrong === 'unknown' || wrong === 'both';
      return this.#break(blamedOf(dispute, wrong), isDisputed ? this.#disputedCheck(dispute) : null);
    }
    if (arbiter === null) return;
    const shadow = dispute.shadow.peer;
    if (wrong === 'shadow') {
      const others = this.#live.get(stage)!;
      this.#session.shadows.drop(shadow);
      if (others.delete(shadow) && others.size === 0) this.#bare.push({ shadow, partner: null });
    }
    this.#tell({ type: 'settled', index: span.index, stage, wrong, arbiter });
  }

  /** While a difference is being settled, that comes first: it may name somebody. */
  #tellBare(): void {
    if (this.isSettling) return;
    for (const bare of this.#bare.splice(0)) this.#effects.push({ type: 'bare', ...bare });
    for (const check of this.#held.splice(0)) this.#effects.push({ type: 'checked', check });
  }

  #disputedCheck({ span, stage, finding }: Dispute): SpanCheck {
    const { range, primary } = this.#session.route.stages[stage]!;
    const disputed: StageCheck = {
      stage,
      range,
      tier: 'disputed',
      primary: primary.id,
      primaryClass: primary.numericClass,
      findings: [finding],
      arbiter: null,
    };
    return { start: span.start, end: span.end, tier: 'disputed', stages: [disputed] };
  }

  #blame(fault: FoundFault): void {
    this.#session.faults.push({ volunteer: fault.volunteer, code: codeOf(fault.code) });
    this.#effects.push({ type: 'fault', fault });
  }

  #break(blamed: readonly PeerId[], disputed: SpanCheck | null): void {
    this.#isBroken = true;
    if (disputed !== null) this.#counts.disputed += 1;
    this.#effects.push({ type: 'broken', blamed, disputed });
  }
}

/** A failure as a fault on record: nothing worse than that it did not answer, where that is all. */
function codeOf(failure: CheckFailure): ErrorCode {
  if (failure === 'unreachable') return 'link-lost';
  return SILENT.has(failure) ? 'timeout' : 'check-failed';
}
