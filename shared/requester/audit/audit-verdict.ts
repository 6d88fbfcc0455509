import { equalBytes } from '../../bytes.ts';
import type { PeerId } from '../../ids.ts';
import type { OutputKind } from '../../judge/closeness.ts';
import { lowestTier, type Finding, type SpanCheck, type StageCheck, type Tier } from '../../judge/finding.ts';
import { judge } from '../../judge/judge.ts';
import { checkReveal } from '../../judge/reveal-form.ts';
import { readF32 } from '../../judge/sketch.ts';
import { thresholdFor } from '../../judge/thresholds.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { DrawnAt } from '../../rows/sampler.ts';
import type { Blame } from './audit-binding.ts';
import type { AuditPanel, AuditReplica } from './audit-replica.ts';
import type { AuditSpan, StageResult } from './audit-span.ts';
import { sampledFrom } from './session-tape.ts';
import type { Dispute } from './span-audit.ts';

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
    return { findings, settled: new Set(), arbiter: null, dispute: null };
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
    result.dispute = { span: span.span, stage, finding, primary, shadow };
    return [result.dispute];
  });
}

/** A third has cleared the primary. */
export function settle(result: StageResult, arbiter: NonNullable<StageCheck['arbiter']>): void {
  for (const { outcome, shadow } of result.findings) {
    // A shadow that merely doubted the primary needs no third of its own.
    if (outcome !== 'rejected' || shadow === result.dispute?.finding.shadow) result.settled.add(shadow);
  }
  result.arbiter = arbiter;
  result.dispute = null;
}

/** The verdict on the span. */
export function spanCheck(span: AuditSpan, panel: AuditPanel): SpanCheck {
  const stages = span.results!.map((result, stage) => stageCheck(result, panel.primary(stage)));
  const tier = lowestTier(stages.map((stage) => stage.tier));
  return { start: span.span.start, end: span.keptEnd, tier, stages };
}

function stageCheck({ findings, arbiter }: StageResult, { stage, range, id, numericClass }: AuditReplica): StageCheck {
  const tier: Tier = findings.length === 0 ? 'unchecked' : arbiter === null ? 'checked' : 'settled';
  return { stage, range, tier, primary: id, primaryClass: numericClass, findings, arbiter };
}

function hasAgreed({ outcome }: Finding): boolean {
  return outcome === 'agreed';
}
