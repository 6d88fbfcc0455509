import { ChorusError } from '../../errors.ts';
import type { PeerId, SessionId } from '../../ids.ts';
import type { OutputKind } from '../../judge/closeness.ts';
import type { Finding } from '../../judge/finding.ts';
import { drawsOf, judge, mustMatch } from '../../judge/judge.ts';
import { ENGINE_CLASS } from '../../judge/numeric-class.ts';
import type { Testimony } from '../../judge/statement.ts';
import { isKnownPair, thresholdFor } from '../../judge/thresholds.ts';
import { decide, type ThirdFinding, type WrongParty } from '../../judge/verdict.ts';
import { SETTLE_TIMEOUT_MS } from '../../limits.ts';
import { sameRange } from '../../model/stage.ts';
import { computationFault } from '../../proof/proof-fault.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import { computationProof } from '../../proof/proof.ts';
import { sessionOf } from '../../wire/peer-message.ts';
import type { Dispute, Third } from '../audit/span-audit.ts';
import type { SessionPort } from '../feed/session-port.ts';
import type { RequesterEvent, RequesterEventOf, SessionEffect, SignedRoute } from '../requester-event.ts';
import { releaseOfReplay } from '../route-release.ts';
import { Recall } from './recall.ts';
import { ReplaySession, type ReplayOutcome } from './replay-session.ts';

type Role = 'arbiter' | 'referee';

/** The outcome of a dispute. */
export interface Verdict {
  readonly wrong: WrongParty;
  /** The third replica that decided, and what it draws; null where none could. */
  readonly third: Third | null;
  /** Parties that a third found far from its own work, whether it could decide or not. */
  readonly contradicted: readonly PeerId[];
  /** Proofs for the server that a party is at fault. */
  readonly proofs: readonly { readonly accused: 'primary' | 'shadow'; readonly proof: Proof }[];
}

/** Hears how the settling of a difference goes. */
export interface SettlementNews {
  /** A third replica is asked for. */
  asked(dispute: Dispute, role: Role): void;
  concluded(dispute: Dispute, verdict: Verdict): void;
}

/** A third replica at work. */
interface Attempt {
  readonly role: Role;
  /** The ticket of the request for its route; null once there is a route. */
  ticket: number | null;
  routed: SignedRoute | null;
  replay: ReplaySession | null;
  readonly byMs: number;
}

/**
 * Settles one difference between a primary and a shadow: gets the stage's input back, has a third replica compute it again,
 * an arbiter first and a referee where that is not enough, and compares both with what that one found.
 */
export class Settlement {
  readonly dispute: Dispute;
  readonly #host: SessionPort;
  readonly #news: SettlementNews;
  readonly #recall: Recall | null;
  readonly #roles: Role[];
  readonly #thirds: (ThirdFinding & Third)[] = [];
  readonly #proofs: Verdict['proofs'][number][] = [];
  #attempt: Attempt | null = null;
  #isOver = false;

  constructor(host: SessionPort, dispute: Dispute, news: SettlementNews) {
    this.dispute = dispute;
    this.#host = host;
    this.#news = news;
    const isReferees = dispute.about === 'draw' || !this.#isKnown(dispute.primary.numericClass);
    this.#roles = isReferees ? ['referee'] : ['arbiter', 'referee'];
    const sources = [dispute.shadow.peer, dispute.primary.peer];
    this.#recall = this.#range.embedding ? null : new Recall(dispute.shadow.commit.statement, sources);
  }

  get deadlineMs(): number {
    const { byMs = Infinity, replay = null } = this.#attempt ?? {};
    return Math.min(byMs, replay?.deadlineMs ?? Infinity, this.#recall?.deadlineMs ?? Infinity);
  }

  get #range() {
    return this.#host.session.route.stages[this.dispute.stage]!.range;
  }

  /** The rows of the stage, and the tokens drawn from them. */
  get #output(): OutputKind {
    const { vocabularySize } = this.#host.config.manifest.config;
    return this.#range.head ? { kind: 'logits', vocabularySize, sampled: this.dispute.sampled } : { kind: 'hidden' };
  }

  /** True for a class of which arbiters can tell something: those of one that nobody measured are only told apart by a referee. */
  #isKnown(numericClass: string): boolean {
    return this.#isPair(numericClass, numericClass) || this.#isPair(numericClass, ENGINE_CLASS);
  }

  #isPair(a: string, b: string): boolean {
    return isKnownPair(a, b, this.#output.kind, this.#host.config.manifest.config);
  }

  start(): void {
    this.#perform(this.#recall?.start(this.#host.nowMs) ?? []);
    this.#tryNext();
  }

  /** Gives back what is under way: the session has ended, or the difference is settled. */
  stop(): void {
    this.#isOver = true;
    if (this.#attempt !== null) this.#end(this.#attempt);
    this.#attempt = null;
  }

  handle(event: RequesterEvent): void {
    const { nowMs } = this.#host;
    if (this.#isOver) return;
    switch (event.type) {
      case 'replay-routed':
        if (event.ticket === this.#attempt?.ticket) return this.#onRouted(event);
        return this.#host.perform(releaseOfReplay(event.route.session, 'cancelled'));
      case 'replay-refused':
        if (event.ticket === this.#attempt?.ticket) this.#tryNext();
        return;
      case 'time':
        this.#perform(this.#recall?.onTime(nowMs) ?? []);
        if (this.#recall?.hasFailed) return this.#conclude();
        this.#attempt?.replay?.onTime(nowMs);
        if (this.#attempt !== null && nowMs >= this.#attempt.byMs) this.#endAttempt();
        return;
      case 'message':
        if (event.message.type === 'recalled') return this.#onRecalled(event);
        return this.#onReplay(event);
      case 'link-lost':
        this.#perform(this.#recall?.onLost(event.peer, nowMs) ?? []);
        if (this.#recall?.hasFailed) return this.#conclude();
        return this.#onReplay(event);
      default:
        return this.#onReplay(event);
    }
  }

  #perform(effects: readonly SessionEffect[]): void {
    for (const effect of effects) this.#host.perform(effect);
  }

  #onRecalled({ from, message }: RequesterEventOf<'message'>): void {
    this.#perform(this.#recall?.onMessage(from, message, this.#host.nowMs) ?? []);
    if (this.#recall?.hasFailed) return this.#conclude();
    this.#replay();
  }

  #onRouted({ route, envelope }: SignedRoute): void {
    const attempt = this.#attempt!;
    attempt.ticket = null;
    attempt.routed = { route, envelope };
    if (this.#isUsable(attempt.routed)) return this.#replay();
    this.#host.perform(releaseOfReplay(route.session, 'failed'));
    this.#tryNext();
  }

  /** True if the route leads to somebody else, who is to compute the same. */
  #isUsable({ route }: SignedRoute): boolean {
    const { primary, shadow, span } = this.dispute;
    const [stage, ...others] = route.stages;
    if (route.purpose !== 'replay' || stage === undefined || others.length > 0) return false;
    const { self, model } = this.#host.config;
    const parties = [primary.peer, shadow.peer, self];
    return (
      route.model === model &&
      route.requester.id === self &&
      route.capacity >= span.end &&
      sameRange(stage.range, this.#range) &&
      !parties.includes(stage.primary.id)
    );
  }

  /** Begins the replay as soon as there are both a replica and the rows for it. */
  #replay(): void {
    const attempt = this.#attempt;
    if (attempt === null || attempt.routed === null || attempt.replay !== null) return;
    const rows = this.#recall === null ? this.#host.session.tokenRows(this.dispute.span.end) : this.#recall.rows;
    if (rows === null) return;
    attempt.replay = new ReplaySession(this.#host, attempt.routed, this.#task(rows), () => this.#onReplayed());
    attempt.replay.start();
  }

  #task(rows: readonly Uint8Array<ArrayBuffer>[]) {
    const { start, end } = this.dispute.span;
    const { seed } = this.dispute.primary.reveal.statement;
    return { start, end, seed, runs: this.#host.session.runs(end), rows };
  }

  #onReplay(event: RequesterEvent): void {
    const replay = this.#attempt?.replay;
    if (replay && isAbout(event, replay.id)) replay.handle(event);
  }

  #onReplayed(): void {
    const outcome = this.#attempt?.replay?.outcome ?? null;
    if (outcome !== null && !(outcome instanceof ChorusError)) this.#hear(outcome);
    this.#endAttempt();
  }

  /** Compares both parties with the third replica. */
  #hear({ record: signed, ...third }: ReplayOutcome): void {
    const { primary, shadow } = this.dispute;
    const { role, routed } = this.#attempt!;
    const { peer: id, numericClass } = third;
    const isNear = [primary, shadow].every((party) => this.#isPair(party.numericClass, numericClass));
    // New keys are as many as anybody likes to make.
    const isProven = routed!.route.stages[0]!.primary.isUnproven !== true;
    this.#thirds.push({
      by: { id, role, numericClass, signed },
      mayDecide: role === 'referee' || (isNear && isProven),
      primary: this.#judge(primary, third),
      shadow: this.#judge(shadow, third),
      draws: drawsOf(third, this.#output),
    });
    if (role !== 'referee') return;
    for (const [accused, party] of [
      ['primary', primary],
      ['shadow', shadow],
    ] as const) {
      const proof = this.#proofAgainst(party, third, routed!);
      if (proof !== null) this.#proofs.push({ accused, proof });
    }
  }

  #judge(party: Testimony, third: Testimony): Finding['outcome'] {
    const output = this.#output;
    const limits = thresholdFor(party.numericClass, third.numericClass, output.kind, this.#host.config.manifest.config);
    return judge(party, third, output, limits).outcome;
  }

  /** A proof in which the server will find the same fault; null where it would find none. */
  #proofAgainst(party: Testimony, third: Testimony, replay: SignedRoute): Proof | null {
    const range = this.#range;
    try {
      computationFault({ ...party, range }, { ...third, range }, this.#host.config.manifest);
    } catch {
      return null;
    }
    const { envelope } = this.#host.session;
    return computationProof({ route: envelope, replay: replay.envelope, accused: party, referee: third });
  }

  #endAttempt(): void {
    if (this.#attempt !== null) this.#end(this.#attempt);
    this.#tryNext();
  }

  /** Gives back what an attempt has taken; a route that is still to come is given back when it does. */
  #end({ replay, routed }: Attempt): void {
    if (replay !== null) replay.close();
    else if (routed !== null) this.#host.perform(releaseOfReplay(routed.route.session, 'cancelled'));
  }

  /** Asks for the next third replica, unless the findings so far are enough. */
  #tryNext(): void {
    this.#attempt = null;
    const { finding, primary, shadow, span, stage } = this.dispute;
    const role = this.#roles.shift();
    if (this.#isCleared(finding) || role === undefined) return this.#conclude();
    const ticket = this.#host.nextTicket();
    this.#attempt = { role, ticket, routed: null, replay: null, byMs: this.#host.nowMs + SETTLE_TIMEOUT_MS };
    const exclude = [primary.peer, shadow.peer, this.#host.config.self];
    for (const { by } of this.#thirds) exclude.push(by.id);
    this.#host.perform({ type: 'request-replay', ticket, session: span.session, stage, role, exclude });
    this.#news.asked(this.dispute, role);
  }

  /** True if an arbiter has dispelled a doubt, and draws what was drawn. */
  #isCleared({ outcome }: Finding): boolean {
    const [third] = this.#thirds;
    return outcome === 'suspect' && third?.primary === 'agreed' && third.mayDecide && !third.draws?.redraw;
  }

  #conclude(): void {
    this.stop();
    const { finding, primary, shadow } = this.dispute;
    const difference = { outcome: finding.outcome, mustMatch: mustMatch(primary, shadow) };
    const { wrong, by } = decide(difference, this.#thirds);
    const third = by === null ? null : this.#thirds.find((each) => each.by === by)!;
    const contradicted = [primary, shadow]
      .filter((_, i) => this.#thirds.some((each) => [each.primary, each.shadow][i] === 'rejected'))
      .map(({ peer }) => peer);
    this.#news.concluded(this.dispute, { wrong, third, contradicted, proofs: this.#proofs });
  }
}

/** False for an event in the name of an earlier replay. */
function isAbout(event: RequesterEvent, replay: SessionId): boolean {
  if (event.type === 'link-lost') return true;
  return (event.type === 'message' ? sessionOf(event.message) : 'session' in event ? event.session : null) === replay;
}

/** One of two that differ. */
export type Party = Pick<Testimony, 'peer' | 'numericClass'>;

/** Those who may be wrong, as ids. */
export function blamedOf(
  { primary, shadow }: Dispute,
  { wrong, contradicted }: Pick<Verdict, 'wrong' | 'contradicted'>,
): PeerId[] {
  if (wrong === 'nobody') return [];
  if (wrong === 'primary') return [primary.peer];
  if (wrong === 'shadow') return [shadow.peer];
  return wrong === 'both' ? idsOf([primary, shadow]) : doubtful([primary, shadow], contradicted);
}

/**
 * Those to leave out where nobody can tell who is wrong: both, or, where one of them is of the engine's class, only the other,
 * for a lie of the one could be shown by whoever repeats its work, unless somebody `contradicted` it.
 */
export function doubtful(parties: readonly Party[], contradicted: readonly PeerId[] = []): PeerId[] {
  const others = parties.filter(
    ({ peer, numericClass }) => numericClass !== ENGINE_CLASS || contradicted.includes(peer),
  );
  return idsOf(others.length > 0 ? others : parties);
}

export function idsOf(parties: readonly Party[]): PeerId[] {
  return parties.map(({ peer }) => peer);
}
