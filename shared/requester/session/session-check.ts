import type { Now } from '../../clock.ts';
import type { PeerId } from '../../ids.ts';
import type { SpanCheck } from '../../judge/finding.ts';
import { SEED_BYTES } from '../../judge/seed-chain.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import { sessionOf } from '../../wire/peer-message.ts';
import type { CollectorEffect } from '../attest/record-collector.ts';
import { SessionRecords } from '../attest/session-records.ts';
import type { AuditEffect, AuditEvent, Dispute } from '../audit/audit-event.ts';
import { SessionAudit } from '../audit/session-audit.ts';
import type { CheckEffect } from '../check-news.ts';
import type { RequesterSession } from '../feed/requester-session.ts';
import { recordedCode, type FoundFault } from '../found-fault.ts';
import type { Release, RequesterConfig, SessionEffect } from '../requester-event.ts';
import { releaseOfReplay } from '../route-release.ts';
import { blamedOf, type SettlementEvent, type Verdict } from '../settle/settlement.ts';
import { Settlements, type SettlementsEffect } from '../settle/settlements.ts';
import { disputedCheck, SessionVerdicts } from './session-verdicts.ts';
import { UncheckedSpans } from './unchecked-spans.ts';

/**
 * Everything about the check of one session: its audit, and the settling of differences one after the other. Takes what the
 * audit takes, and what comes in for either of the two.
 */
export class SessionCheck {
  readonly #config: RequesterConfig;
  readonly #session: RequesterSession;
  readonly #audit: SessionAudit | UncheckedSpans;
  readonly #settlements: Settlements;
  readonly #live: Map<number, Set<PeerId>>;
  readonly #verdicts = new SessionVerdicts();
  readonly #records: SessionRecords;
  #effects: CheckEffect[] = [];
  #now: Now = { nowMs: 0, wallMs: 0 };
  #isBroken = false;

  /** `nextTicket` numbers what is asked of the server. */
  constructor(config: RequesterConfig, session: RequesterSession, nextTicket: () => number, { nowMs }: Now) {
    this.#config = config;
    this.#session = session;
    this.#settlements = new Settlements(config, session, nextTicket);
    this.#records = new SessionRecords(config, session);
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
    return this.#settlements.isSettling;
  }

  get deadlineMs(): number {
    return Math.min(this.#audit.deadlineMs, this.#settlements.deadlineMs, this.#records.deadlineMs);
  }

  /** For the session's release. */
  get checks(): Release['checks'] {
    return this.#verdicts.checks;
  }

  /** True if it has had as many spans, or records, as it may: the answer should go on in another session. */
  get isSpent(): boolean {
    return this.#audit.isSpent || this.#records.isSpent;
  }

  /** End of the seed chain; null where nothing is checked. */
  get anchor(): Uint8Array<ArrayBuffer> | null {
    return this.#audit.anchor;
  }

  /** The verdicts on the session as it is now, from position 0 on. */
  get spans(): SpanCheck[] {
    return this.#verdicts.upTo(this.#session.length);
  }

  /** True while replicas' records may still come. */
  get isRecording(): boolean {
    return this.#records.isRecording;
  }

  get attestations(): Evidence['attestations'] {
    return this.#records.attestations;
  }

  /** Asks every replica that was not dropped to sign what it did, up to the end of the session as it is now. */
  record(salt: Uint8Array<ArrayBuffer>, now: Now): CheckEffect[] {
    this.#now = now;
    this.#effects = [];
    this.#collect(this.#records.start(salt, this.#audit.live, now.nowMs));
    return this.#effects;
  }

  /** Waits for no more records. */
  stopRecords(): void {
    this.#records.stop();
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
    return this.#settlements.stop();
  }

  #dispatch(event: AuditEvent | SettlementEvent): void {
    if (this.isRecording) this.#collect(this.#records.handle(event, this.#now.nowMs));
    switch (event.type) {
      case 'record-verified':
        return;
      case 'replay-routed':
        if (this.isSettling) return this.#settle(event);
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
    if (event.type === 'cut') this.#verdicts.cut(event.position);
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
        this.#effects.push(...this.#verdicts.add(effect.check, effect.agreed));
        return;
      case 'dispute':
        this.#settlements.add(effect.dispute);
        return this.#performSettlements(this.#settlements.next(this.#now));
      case 'failed':
        return this.#onFailed(effect);
    }
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
    if (isStageBare) this.#verdicts.addBare({ shadow: peer, partner });
    this.#tellBare();
  }

  /** Something for the settlement under way. */
  #settle(event: SettlementEvent): void {
    this.#performSettlements(this.#settlements.handle(event, this.#now));
  }

  #performSettlements(effects: readonly SettlementsEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'concluded') this.#onConcluded(effect.dispute, effect.verdict);
      else this.#effects.push(effect);
    }
  }

  #onConcluded(dispute: Dispute, verdict: Verdict): void {
    this.#conclude(dispute, verdict);
    if (this.#isBroken) return;
    this.#performSettlements(this.#settlements.next(this.#now));
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
      return this.#break(blamedOf(dispute, wrong), isDisputed ? disputedCheck(dispute, this.#session.route) : null);
    }
    if (arbiter === null) return;
    const shadow = dispute.shadow.peer;
    if (wrong === 'shadow') {
      const others = this.#live.get(stage)!;
      this.#session.shadows.drop(shadow);
      if (others.delete(shadow) && others.size === 0) this.#verdicts.addBare({ shadow, partner: null });
    }
    this.#tell({ type: 'settled', index: span.index, stage, wrong, arbiter });
  }

  /** While a difference is being settled, that comes first: it may name somebody. */
  #tellBare(): void {
    if (!this.isSettling) this.#effects.push(...this.#verdicts.release());
  }

  #blame(fault: FoundFault): void {
    this.#session.faults.push({ volunteer: fault.volunteer, code: recordedCode(fault.code) });
    this.#effects.push({ type: 'fault', fault });
  }

  #break(blamed: readonly PeerId[], disputed: SpanCheck | null): void {
    this.#isBroken = true;
    if (disputed !== null) this.#verdicts.addDisputed();
    this.#effects.push({ type: 'broken', blamed, disputed });
  }
}
