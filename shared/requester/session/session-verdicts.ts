import type { PeerId } from '../../ids.ts';
import { noCounts, type SpanCheck, type StageCheck } from '../../judge/finding.ts';
import type { Route } from '../../route/route.ts';
import type { Dispute } from '../audit/audit-event.ts';
import type { BareStage, CheckNews } from '../check-news.ts';
import type { Release } from '../requester-event.ts';
import { SpanLedger } from './span-ledger.ts';

/**
 * The verdicts on one session: kept, counted, and told in their order. Those that are the worse for a stage that nobody
 * checks any more are held until that has been told.
 */
export class SessionVerdicts {
  readonly #counts = noCounts();
  readonly #agreed = new Map<PeerId, number>();
  readonly #ledger = new SpanLedger();
  /** Not told of yet. */
  readonly #bare: BareStage[] = [];
  readonly #held: SpanCheck[] = [];

  /** For the session's release. */
  get checks(): Release['checks'] {
    return { ...this.#counts, agreed: [...this.#agreed].map(([volunteer, spans]) => ({ volunteer, spans })) };
  }

  /** The verdicts on the positions before `end`, from position 0 on. */
  upTo(end: number): SpanCheck[] {
    return this.#ledger.upTo(end);
  }

  /** Forgets positions from `position` on. */
  cut(position: number): void {
    this.#ledger.cut(position);
  }

  /** Takes a verdict, and who agreed with it; returns what may be told of it now. */
  add(check: SpanCheck, agreed: readonly PeerId[]): CheckNews[] {
    this.#counts[check.tier] += 1;
    this.#ledger.add(check);
    for (const peer of agreed) this.#agreed.set(peer, (this.#agreed.get(peer) ?? 0) + 1);
    const isHeld = this.#held.length > 0 || (this.#bare.length > 0 && check.tier === 'unchecked');
    if (!isHeld) return [{ type: 'checked', check }];
    this.#held.push(check);
    return [];
  }

  /** Notes a difference that nobody could settle. */
  addDisputed(): void {
    this.#counts.disputed += 1;
  }

  addBare(bare: BareStage): void {
    this.#bare.push(bare);
  }

  /** Tells of bare stages, then of the verdicts held for them. */
  release(): CheckNews[] {
    const bare = this.#bare.splice(0).map((each): CheckNews => ({ type: 'bare', ...each }));
    const held = this.#held.splice(0).map((check): CheckNews => ({ type: 'checked', check }));
    return [...bare, ...held];
  }
}

/** The verdict on a span of which nobody could say who is wrong. */
export function disputedCheck({ span, stage, finding }: Dispute, { stages }: Route): SpanCheck {
  const { range, primary } = stages[stage]!;
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
