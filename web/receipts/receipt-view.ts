import type { PeerId } from '#shared/ids.ts';
import type { SpanCheck, StageCheck } from '#shared/judge/finding.ts';
import { CHUNK_POSITIONS, MAX_LAYERS, MAX_POSITIONS } from '#shared/limits.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { ReceiptSummary } from '#shared/receipt/verify/receipt-summary.ts';

/** A volunteer in the picture of a receipt. */
export interface ReceiptReplica {
  readonly id: PeerId;
  readonly numericClass: string;
  readonly role: 'primary' | 'shadow' | 'third';
  /** False where the receipt has no signature of it. */
  readonly hasSigned: boolean;
  /** Parts that it computed again with the same outcome, of those for which it was compared. For a third: parts it settled. */
  readonly agreed: number;
  readonly compared: number;
}

export interface ReceiptStage {
  readonly range: StageRange;
  readonly replicas: readonly ReceiptReplica[];
}

/** The replicas of each stage and the outcome of their work, as the receipt says. */
export function toReceiptStages({ stages, spans }: ReceiptSummary): readonly ReceiptStage[] {
  return stages.map(({ range, replicas }, stage) => {
    const judged = spans.flatMap((span) => span.stages.filter((each) => each.stage === stage));
    const members = replicas.map((replica): ReceiptReplica => {
      const findings = judged.flatMap(({ findings }) => findings.filter(({ shadow }) => shadow === replica.id));
      const agreed = findings.filter(({ outcome }) => outcome === 'agreed').length;
      return { ...replica, agreed, compared: findings.length };
    });
    return { range, replicas: [...members, ...thirdsOf(judged)] };
  });
}

type JudgedStage = ReceiptSummary['spans'][number]['stages'][number];

/** Those who settled differences. Without a signature they are there on the requester's word. */
function thirdsOf(judged: readonly JudgedStage[]): ReceiptReplica[] {
  const thirds = new Map<PeerId, ReceiptReplica>();
  for (const { arbiter } of judged) {
    if (arbiter === null) continue;
    const { id, numericClass, signed = null } = arbiter;
    const before = thirds.get(id);
    const settled = (before?.agreed ?? 0) + 1;
    const hasSigned = signed !== null || before?.hasSigned === true;
    thirds.set(id, { id, numericClass, role: 'third', hasSigned, agreed: settled, compared: settled });
  }
  return [...thirds.values()];
}

/** Layers as they can be drawn: a receipt may claim any number. */
export function drawnLayers({ model }: Pick<ReceiptSummary, 'model'>): number {
  return Math.min(model.layers, MAX_LAYERS);
}

/** Spans that are drawn: those of the longest honest answer. Claims beyond that are counted by the checks. */
const MAX_DRAWN_SPANS = MAX_POSITIONS / CHUNK_POSITIONS;

/** The verdicts of a receipt in the form that an answer's checks have. */
export function toSpanChecks({ stages, spans }: ReceiptSummary): SpanCheck[] {
  return spans.slice(0, MAX_DRAWN_SPANS).map(({ start, end, tier, stages: judged }) => ({
    start,
    end,
    tier,
    // Refused receipts are shown as well: a verdict on a stage that is not there has no place in the picture.
    stages: judged.filter(({ stage }) => stage < stages.length).map((each) => toStageCheck(stages[each.stage]!, each)),
  }));
}

function toStageCheck(
  { range, replicas }: ReceiptSummary['stages'][number],
  { stage, tier, findings, arbiter, reason = null, drawnBy = null }: JudgedStage,
): StageCheck {
  const primary = replicas[0]!;
  // A shadow that is named twice, which the checks refuse, has one place in the picture.
  const byShadow = new Map(findings.map((finding) => [finding.shadow, finding]));
  return {
    stage,
    range,
    tier,
    primary: primary.id,
    primaryClass: primary.numericClass,
    findings: [...byShadow.values()].map(({ shadow, outcome, isExact, closeness, limits, draws = null }) => ({
      shadow,
      shadowClass: replicas.find(({ id }) => id === shadow)?.numericClass ?? 'unknown',
      outcome,
      isExact,
      closeness,
      threshold: limits,
      draws,
    })),
    arbiter: arbiter && { id: arbiter.id, role: arbiter.role, numericClass: arbiter.numericClass },
    reason,
    drawnBy,
  };
}
