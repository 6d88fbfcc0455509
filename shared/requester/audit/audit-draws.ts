import type { PeerId } from '../../ids.ts';
import type { ComparedDraws, Redraw } from '../../judge/draws.ts';
import { drawsOf } from '../../judge/judge.ts';
import { ENGINE_CLASS } from '../../judge/numeric-class.ts';
import type { AuditPanel } from './audit-replica.ts';
import type { AuditSpan, StageResult } from './audit-span.ts';
import type { Dispute, TokenRedraw } from './span-audit.ts';

/** A replica whose rows agree with the primary's, and the tokens that they draw. */
interface Drawer {
  readonly id: PeerId;
  readonly numericClass: string;
  readonly draws: ComparedDraws;
}

/** Whose draw goes on at the head of a span. */
export type DrawDecision =
  | { readonly type: 'primary' }
  | { readonly type: 'other'; readonly redraw: TokenRedraw }
  /** A referee must draw: this shadow drew another token, and no two bits tell who is right. */
  | { readonly type: 'ask'; readonly shadow: PeerId }
  | { readonly type: 'nobody' };

/**
 * The draw that goes on where rows agree: that of the primary if it is of the engine's class, whose bits anybody can repeat;
 * else that of a shadow or third of it; else that of a referee; else the primary's, if everybody draws the same.
 */
export function decideDraws(span: AuditSpan, panel: AuditPanel, stage: number, vocabularySize: number): DrawDecision {
  const result = span.results![stage]!;
  const { sampled, third, isDrawAsked } = result;
  const primary = panel.primary(stage);
  if (sampled === null || primary.numericClass === ENGINE_CLASS) return { type: 'primary' };
  const output = { kind: 'logits', vocabularySize, sampled } as const;
  const drawers: Drawer[] = agreeing(result, panel, stage).flatMap((shadow) => {
    const found = result.findings.find((finding) => finding.shadow === shadow.id)?.draws ?? null;
    if (found === null) return [];
    const same = { draws: found, redraw: null, gap: 0 };
    const draws = found.lost === 0 ? same : drawsOf(span.testimony(shadow), output);
    return draws === null ? [] : [{ id: shadow.id, numericClass: shadow.numericClass, draws }];
  });
  const heard = third?.draws ? [{ ...third.by, draws: third.draws }] : [];
  const exact = [...heard, ...drawers].filter(({ numericClass }) => numericClass === ENGINE_CLASS);
  const referee = heard.find(({ role }) => role === 'referee');
  const decider = referee ?? (isOneMind(exact) ? exact[0] : undefined);
  if (decider !== undefined) {
    const { id: by, draws } = decider;
    return draws.redraw === null ? { type: 'primary' } : { type: 'other', redraw: { ...draws.redraw, stage, by } };
  }
  const loser = [...drawers, ...heard].find(({ draws }) => draws.redraw !== null);
  if (loser === undefined) return { type: 'primary' };
  const shadow = drawers.find(({ id }) => id === loser.id) ?? drawers[0];
  return isDrawAsked || shadow === undefined ? { type: 'nobody' } : { type: 'ask', shadow: shadow.id };
}

/** The shadows that still count and that agreed with the primary, or were near enough for a third to clear both. */
function agreeing({ findings, settled }: StageResult, panel: AuditPanel, stage: number) {
  const agreed = findings.filter(({ outcome, shadow }) => outcome === 'agreed' || settled.has(shadow));
  return panel.shadows(stage).filter(({ id }) => agreed.some(({ shadow }) => shadow === id));
}

/** True if all of the exact class drew alike; where two did not, one of them lied. */
function isOneMind(drawers: readonly Drawer[]): boolean {
  const key = (redraw: Redraw | null): string => (redraw === null ? '' : `${redraw.position} ${redraw.token}`);
  return new Set(drawers.map(({ draws }) => key(draws.redraw))).size === 1;
}

/** The dispute for a referee to draw in. */
export function drawDispute(span: AuditSpan, panel: AuditPanel, stage: number, shadow: PeerId): Dispute {
  const { findings, sampled } = span.results![stage]!;
  return {
    span: span.span,
    stage,
    about: 'draw',
    sampled,
    finding: findings.find((finding) => finding.shadow === shadow)!,
    primary: span.testimony(panel.primary(stage)),
    shadow: span.testimony(panel.find(shadow)!),
  };
}
