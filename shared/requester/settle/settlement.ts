import type { Now } from '../../clock.ts';
import { ChorusError } from '../../errors.ts';
import type { PeerId, SessionId } from '../../ids.ts';
import type { OutputKind } from '../../judge/closeness.ts';
import type { Finding, StageCheck } from '../../judge/finding.ts';
import { judge } from '../../judge/judge.ts';
import type { Testimony } from '../../judge/statement.ts';
import { thresholdFor } from '../../judge/thresholds.ts';
import { decide, type Blame, type Word } from '../../judge/verdict.ts';
import { SETTLE_TIMEOUT_MS } from '../../limits.ts';
import { sameRange } from '../../model/stage.ts';
import { computationFault } from '../../proof/proof-fault.ts';
import type { Proof } from '../../proof/proof-schema.ts';
import { computationProof } from '../../proof/proof.ts';
import { sessionOf } from '../../wire/peer-message.ts';
import type { Dispute } from '../audit/audit-event.ts';
import type { RequesterSession } from '../feed/requester-session.ts';
import type {
  PeerEvent,
  ReplayReply,
  RequesterConfig,
  SessionEffect,
  SessionReply,
  SignedRoute,
} from '../requester-event.ts';
import { releaseOfReplay } from '../route-release.ts';
import { Recall } from './recall.ts';
import { ReplaySession } from './replay-session.ts';

type Role = 'arbiter' | 'referee';
export type SettlementEvent = SessionReply | ReplayReply | PeerEvent | { readonly type: 'time' };

/** What came of a dispute. */
export interface Verdict {
  readonly wrong: Blame;
  /** Who decided; null where nobody could. */
  readonly arbiter: StageCheck['arbiter'];
  /** What shows to the server that a party is at fault. */
  readonly proofs: readonly { readonly accused: 'primary' | 'shadow'; readonly proof: Proof }[];
}

/** A third replica at work. */
interface Attempt {
  readonly role: Role;
  /** Of the request for its route; null once there is one. */
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
  readonly #config: RequesterConfig;
  readonly #session: RequesterSession;
  readonly #nextTicket: () => number;
  readonly #recall: Recall | null;
  readonly #roles: Role[] = ['arbiter', 'referee'];
  readonly #words: Word[] = [];
  readonly #proofs: Verdict['proofs'][number][] = [];
  #attempt: Attempt | null = null;
  #verdict: Verdict | null = null;
  #effects: SessionEffect[] = [];
  #nowMs = 0;

  constructor(config: RequesterConfig, session: RequesterSession, dispute: Dispute, nextTicket: () => number) {
    this.dispute = dispute;
    this.#config = config;
    this.#session = session;
    this.#nextTicket = nextTicket;
    const sources = [dispute.shadow.peer, dispute.primary.peer];
    this.#recall = this.#range.embedding ? null : new Recall(dispute.shadow.commit.statement, sources);
  }

  get role(): Role {
    return this.#attempt?.role ?? this.#roles[0] ?? 'referee';
  }

  /** Null until it is settled. */
  get verdict(): Verdict | null {
    return this.#verdict;
  }

  /** The replay under way, whose messages are for here. */
  get replayId(): SessionId | null {
    return this.#attempt?.replay?.id ?? null;
  }

  get deadlineMs(): number {
    return Math.min(this.#attempt?.byMs ?? Infinity, this.#recall?.deadlineMs ?? Infinity);
  }

  get #range() {
    return this.#session.route.stages[this.dispute.stage]!.range;
  }

  start({ nowMs }: Now): SessionEffect[] {
    this.#nowMs = nowMs;
    this.#effects = [];
    if (this.#recall !== null) this.#effects.push(...this.#recall.start(nowMs));
    this.#tryNext();
    return this.#effects;
  }

  handle(event: SettlementEvent, { nowMs }: Now): SessionEffect[] {
    this.#nowMs = nowMs;
    this.#effects = [];
    if (this.#verdict === null) this.#dispatch(event);
    return this.#effects;
  }

  /** Gives back what is under way: the session has ended. */
  stop(): SessionEffect[] {
    const attempt = this.#attempt;
    this.#attempt = null;
    return attempt === null ? [] : endOf(attempt);
  }

  #dispatch(event: SettlementEvent): void {
    switch (event.type) {
      case 'replay-routed':
        if (event.ticket === this.#attempt?.ticket) return this.#onRouted(event);
        this.#effects.push(releaseOfReplay(event.route.session, 'cancelled'));
        return;
      case 'replay-refused':
        if (event.ticket === this.#attempt?.ticket) this.#tryNext();
        return;
      case 'time':
        this.#effects.push(...(this.#recall?.onTime(this.#nowMs) ?? []));
        if (this.#recall?.hasFailed) return this.#conclude();
        if (this.#attempt !== null && this.#nowMs >= this.#attempt.byMs) this.#endAttempt();
        return;
      case 'message':
        if (event.message.type === 'recalled') return this.#onRecalled(event);
        return this.#onReplay(event);
      case 'link-lost':
        this.#effects.push(...(this.#recall?.onLost(event.peer, this.#nowMs) ?? []));
        if (this.#recall?.hasFailed) return this.#conclude();
        return this.#onReplay(event);
      default:
        return this.#onReplay(event);
    }
  }

  #onRecalled({ from, message }: Extract<PeerEvent, { type: 'message' }>): void {
    this.#effects.push(...(this.#recall?.onMessage(from, message, this.#nowMs) ?? []));
    if (this.#recall?.hasFailed) return this.#conclude();
    this.#replay();
  }

  #onRouted({ route, envelope }: SignedRoute): void {
    const attempt = this.#attempt!;
    attempt.ticket = null;
    attempt.routed = { route, envelope };
    if (this.#isUsable(attempt.routed)) return this.#replay();
    this.#effects.push(releaseOfReplay(route.session, 'failed'));
    this.#tryNext();
  }

  /** True if the route leads to somebody else, who is to compute the same. */
  #isUsable({ route }: SignedRoute): boolean {
    const { primary, shadow, span } = this.dispute;
    const [stage, ...others] = route.stages;
    if (route.purpose !== 'replay' || stage === undefined || others.length > 0) return false;
    const parties = [primary.peer, shadow.peer, this.#config.self];
    return (
      route.model === this.#config.model &&
      route.requester.id === this.#config.self &&
      route.capacity >= span.end &&
      sameRange(stage.range, this.#range) &&
      !parties.includes(stage.primary.id)
    );
  }

  /** Begins the replay as soon as there are both a replica and the rows for it. */
  #replay(): void {
    const attempt = this.#attempt;
    if (attempt === null || attempt.routed === null || attempt.replay !== null) return;
    const rows = this.#recall === null ? this.#session.tokenRows(this.dispute.span.end) : this.#recall.rows;
    if (rows === null) return;
    attempt.replay = new ReplaySession(this.#config, attempt.routed, this.#task(rows));
    this.#effects.push(...attempt.replay.start());
  }

  #task(rows: readonly Uint8Array<ArrayBuffer>[]) {
    const { start, end } = this.dispute.span;
    const { seed } = this.dispute.primary.reveal.statement;
    return { start, end, seed, runs: this.#session.runs(end), rows };
  }

  #onReplay(event: SessionReply | PeerEvent): void {
    const replay = this.#attempt?.replay;
    if (!replay || !isAbout(event, replay.id)) return;
    this.#effects.push(...replay.handle(event));
    const { outcome } = replay;
    if (outcome === null) return;
    if (!(outcome instanceof ChorusError)) this.#hear(outcome);
    this.#endAttempt();
  }

  /** Compares both parties with what the third found. */
  #hear(third: Testimony): void {
    const { primary, shadow } = this.dispute;
    const { role, routed } = this.#attempt!;
    this.#words.push({
      by: { id: third.peer, role, numericClass: third.numericClass },
      primary: this.#judge(primary, third),
      shadow: this.#judge(shadow, third),
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
    const { config } = this.#config.manifest;
    const output: OutputKind = this.#range.head
      ? { kind: 'logits', vocabularySize: config.vocabularySize, sampled: null }
      : { kind: 'hidden' };
    const limits = thresholdFor(party.numericClass, third.numericClass, output.kind, config);
    return judge(party, third, output, limits).outcome;
  }

  /** What the server will find as well; null where it would find nothing. */
  #proofAgainst(party: Testimony, third: Testimony, replay: SignedRoute): Proof | null {
    const range = this.#range;
    try {
      computationFault({ ...party, range }, { ...third, range }, this.#config.manifest);
    } catch {
      return null;
    }
    const { envelope } = this.#session;
    return computationProof({ route: envelope, replay: replay.envelope, accused: party, referee: third });
  }

  #endAttempt(): void {
    if (this.#attempt !== null) this.#effects.push(...endOf(this.#attempt));
    this.#tryNext();
  }

  /** Asks the next in turn, unless what was heard is enough. */
  #tryNext(): void {
    this.#attempt = null;
    const { finding, primary, shadow, span, stage } = this.dispute;
    const isCleared = finding.outcome === 'suspect' && this.#words[0]?.primary === 'agreed';
    const role = this.#roles.shift();
    if (isCleared || role === undefined) return this.#conclude();
    const ticket = this.#nextTicket();
    this.#attempt = { role, ticket, routed: null, replay: null, byMs: this.#nowMs + SETTLE_TIMEOUT_MS };
    const exclude = [primary.peer, shadow.peer, this.#config.self];
    for (const { by } of this.#words) exclude.push(by.id);
    this.#effects.push({ type: 'request-replay', ticket, session: span.session, stage, role, exclude });
  }

  #conclude(): void {
    this.#effects.push(...this.stop());
    const { wrong, by } = decide(this.dispute.finding.outcome, this.#words);
    this.#verdict = { wrong, arbiter: by, proofs: this.#proofs };
  }
}

/** False for what was asked, or said, in the name of a session before. */
function isAbout(event: SessionReply | PeerEvent, replay: SessionId): boolean {
  if (event.type === 'link-lost') return true;
  return (event.type === 'message' ? sessionOf(event.message) : event.session) === replay;
}

/** Gives back what an attempt has taken; a route that is still to come is given back when it does. */
function endOf({ replay, routed }: Attempt): SessionEffect[] {
  if (replay !== null) return replay.close();
  return routed === null ? [] : [releaseOfReplay(routed.route.session, 'cancelled')];
}

/** Parties of a dispute, as ids. */
export function blamedOf(dispute: Dispute, wrong: Blame): PeerId[] {
  if (wrong === 'nobody') return [];
  if (wrong === 'primary' || wrong === 'shadow') return [dispute[wrong].peer];
  return [dispute.primary.peer, dispute.shadow.peer];
}
