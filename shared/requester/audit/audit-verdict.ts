import { equalBytes } from '../../bytes.ts';
import type { PeerId } from '../../ids.ts';
import type { OutputKind } from '../../judge/closeness.ts';
import { sampledUpTo } from '../../judge/draws.ts';
import {
  lowestTier,
  type Finding,
  type SpanCheck,
  type StageCheck,
  type Tier,
  type UncheckedReason,
} from '../../judge/finding.ts';
import { drawsOf, judge } from '../../judge/judge.ts';
import { checkReveal } from '../../judge/reveal-form.ts';
import { readF32 } from '../../judge/sketch.ts';
import { isBacked } from '../../judge/stage-backing.ts';
import { isKnownPair, thresholdFor } from '../../judge/thresholds.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { DrawnAt } from '../../rows/sampler.ts';
import type { Blame } from './audit-binding.ts';
import type { DrawDecision } from './audit-draws.ts';
import type { AuditPanel, AuditReplica } from './audit-replica.ts';
import type { AuditSpan, StageResult } from './audit-span.ts';
import { sampledFrom } from './session-tape.ts';
import type { Dispute, Third } from './span-audit.ts';

/**
 * The replicas that made values that are no numbers, in the order of stages. Where the input of a stage is already none, the
 * primary before it is blamed; where all replicas of a stage made the same, or it has no shadow, nobody is.
 */
export function finiteBlames(span: AuditSpan, panel: AuditPanel, { config }: Manifest): Blame[] {
  const blames: Blame[] = [];
  for (let stage = 0; stage < panel.stages; stage++) {
    const [primary, shadows] = [panel.primary(stage), panel.shadows(stage)];
    const odd = [primary, ...shadows]
      .filter((replica) => checkReveal(span.revealOf(replica), replica.range, config, span.wanted) === 'not-finite')
      .filter((replica) => !isShared(span, panel, replica));
    if (shadows.length === 0 || odd.length === 0) continue;
    const isFed = readF32(span.revealOf(primary).input).every(Number.isFinite);
    for (const replica of isFed ? odd : [panel.primary(stage - 1)]) {
      blames.push({ replica, partner: null, code: 'not-finite' });
    }
  }
  return blames;
}

/** True if another replica of the stage computed the very same: then it is the model that does this, not a device. */
function isShared(span: AuditSpan, panel: AuditPanel, replica: AuditReplica): boolean {
  const { outputTo } = span.commitOf(replica);
  return panel.live.some(
    (other) =>
      other !== replica && other.stage === replica.stage && equalBytes(span.commitOf(other).outputTo, outputTo),
  );
}

/** Compares each primary with its live shadows. */
export function judgeStages(span: AuditSpan, panel: AuditPanel, { config }: Manifest, drawnAt: DrawnAt): StageResult[] {
  const sampled = span.isCutInto ? null : sampledFrom(span.wanted, span.keptEnd, drawnAt);
  return Array.from({ length: panel.stages }, (_, stage) => {
    const primary = panel.primary(stage);
    const output: OutputKind = primary.range.head
      ? { kind: 'logits', vocabularySize: config.vocabularySize, sampled }
      : { kind: 'hidden' };
    const findings = panel.shadows(stage).map((shadow) => {
      const limits = thresholdFor(primary.numericClass, shadow.numericClass, output.kind, config);
      return judge(span.testimony(primary), span.testimony(shadow), output, limits);
    });
    const drawn = primary.range.head ? sampled : null;
    return {
      findings,
      sampled: drawn,
      settled: new Set(),
      arbiter: null,
      dispute: null,
      third: null,
      isDrawAsked: false,
    };
  });
}

/** The first pair of a judged span that has not agreed; null if all have. */
export function differenceIn(span: AuditSpan): { readonly stage: number; readonly shadow: PeerId } | null {
  for (const [stage, { findings }] of span.results!.entries()) {
    const shadow = findings.find((finding) => !hasAgreed(finding))?.shadow;
    if (shadow !== undefined) return { stage, shadow };
  }
  return null;
}

/**
 * The differences of a judged span that a third must settle next: one of each stage that has any and none under way, the
 * worst first.
 */
export function newDisputes(span: AuditSpan, panel: AuditPanel): Dispute[] {
  return span.results!.flatMap((result, stage) => {
    if (result.dispute !== null) return [];
    const open = result.findings.filter((finding) => !hasAgreed(finding) && !result.settled.has(finding.shadow));
    const finding = open.find(({ outcome }) => outcome === 'rejected') ?? open[0];
    if (finding === undefined) return [];
    const primary = span.testimony(panel.primary(stage));
    const shadow = span.testimony(panel.find(finding.shadow)!);
    const { sampled } = result;
    result.dispute = { span: span.span, stage, about: 'rows', sampled, finding, primary, shadow };
    return [result.dispute];
  });
}

/** A third has cleared the primary, or was asked whose draw goes on. */
export function settle(result: StageResult, third: Third | null): void {
  const { dispute } = result;
  result.dispute = null;
  result.third = third ?? result.third;
  if (dispute?.about === 'draw') {
    result.isDrawAsked = true;
    // Where it draws as the primary did, or another token, it is the one that decided.
    if (third !== null) result.arbiter = third.by;
    return;
  }
  for (const { outcome, shadow } of result.findings) {
    // A shadow that merely doubted the primary needs no third of its own.
    if (outcome !== 'rejected' || shadow === dispute?.finding.shadow) result.settled.add(shadow);
  }
  result.arbiter = third?.by ?? null;
}

/** The verdict on the span. `draw` is that of its head. */
export function spanCheck(span: AuditSpan, panel: AuditPanel, draw: DrawDecision, { config }: Manifest): SpanCheck {
  const stages = span.results!.map((result, stage) => stageCheck(span, panel, result, stage, draw, config));
  const tier = lowestTier(stages.map((stage) => stage.tier));
  return { start: span.span.start, end: span.keptEnd, tier, stages };
}

function stageCheck(
  span: AuditSpan,
  panel: AuditPanel,
  result: StageResult,
  stage: number,
  draw: DrawDecision,
  size: Manifest['config'],
): StageCheck {
  const { arbiter } = result;
  const { range, id, numericClass } = panel.primary(stage);
  const drawnBy = draw.type === 'other' && draw.redraw.stage === stage ? draw.redraw.by : null;
  const reason = reasonOf(result, numericClass, range.head && draw.type === 'nobody', size);
  const tier: Tier = reason !== null ? 'unchecked' : arbiter === null ? 'checked' : 'settled';
  const findings = drawnBy === null ? result.findings : upToDraw(span, panel, result, size.vocabularySize);
  return { stage, range, tier, primary: id, primaryClass: numericClass, findings, arbiter, reason, drawnBy };
}

/** Why the stage is unchecked; null if it is not. */
function reasonOf(
  { findings, arbiter }: StageResult,
  primaryClass: string,
  areDrawsOpen: boolean,
  size: Manifest['config'],
): UncheckedReason | null {
  if (findings.length === 0) return 'alone';
  const agreed = findings
    .filter(hasAgreed)
    .map(({ shadowClass, threshold: { isMeasured } }) => ({ numericClass: shadowClass, isMeasured }));
  if (arbiter !== null) {
    const isMeasured = isKnownPair(primaryClass, arbiter.numericClass, 'hidden', size);
    agreed.push({ numericClass: arbiter.numericClass, isMeasured });
  }
  if (!isBacked(primaryClass, agreed)) return 'class-not-measured';
  return areDrawsOpen ? 'draws-differ' : null;
}

/** Tokens after the one that another replica drew are gone, and so are the draws that would have been theirs. */
function upToDraw(
  span: AuditSpan,
  panel: AuditPanel,
  { findings, sampled }: StageResult,
  vocabularySize: number,
): Finding[] {
  const kept = sampledUpTo(sampled!, span.span.end, span.keptEnd);
  return findings.map((finding) => {
    const shadow = span.testimony(panel.find(finding.shadow)!);
    const draws = drawsOf(shadow, { kind: 'logits', vocabularySize, sampled: kept })?.draws ?? null;
    return { ...finding, draws };
  });
}

function hasAgreed({ outcome }: Finding): boolean {
  return outcome === 'agreed';
}
