import type { Tier, UncheckedReason } from '../../judge/finding.ts';
import { isOfEngineFormat } from '../../judge/numeric-class.ts';
import { isBacked } from '../../judge/stage-backing.ts';
import { isKnownPair } from '../../judge/thresholds.ts';
import type { ReceiptPredicate } from '../receipt.ts';
import { thirdOf, type Subject } from './check.ts';

/** What a tier follows from, besides the findings. */
export interface TierGrounds extends Pick<Subject, 'signers' | 'thirds'> {
  readonly predicate: Pick<ReceiptPredicate, 'stages' | 'model' | 'thresholds'>;
  readonly holdings: Pick<Subject['holdings'], 'calibrations'>;
}

type ReceiptSpan = ReceiptPredicate['spans'][number];
type SpanStage = ReceiptSpan['stages'][number];

/** A tier as findings and signatures make it, and why it is unchecked. */
export interface BorneOut {
  readonly tier: Tier;
  /** Null for every tier but `unchecked`. */
  readonly reason: UncheckedReason | null;
}

/**
 * The tier of a stage of a span, drawn from its findings and from who signed: a receipt of version 2 must say the same. The first
 * rule that fits counts: nothing was compared (`alone`); a difference that no third settled (`disputed`); nobody of a class
 * that was measured or is exact (`class-not-measured`); draws that nobody decided (`draws-differ`); no signature that
 * carries it (`not-signed`); a third (`settled`); agreement (`checked`).
 */
export function tierBorneOut(
  grounds: TierGrounds,
  span: Pick<ReceiptSpan, 'start' | 'end'>,
  judged: SpanStage,
): BorneOut {
  const { findings, arbiter } = judged;
  if (findings.length === 0) return unchecked('alone');
  const differs = findings.some(({ outcome }) => outcome !== 'agreed');
  if (differs && arbiter === null) return { tier: 'disputed', reason: null };
  if (!hasBacking(grounds, judged)) return unchecked('class-not-measured');
  if (areDrawsOpen(grounds, judged)) return unchecked('draws-differ');
  if (!isCarried(grounds, span, judged)) return unchecked('not-signed');
  return { tier: arbiter === null ? 'checked' : 'settled', reason: null };
}

const unchecked = (reason: UncheckedReason): BorneOut => ({ tier: 'unchecked', reason });

/** True if the primary is of an exact class, or somebody who agreed, or settled it, of one or of one measured beside it. */
function hasBacking({ predicate, holdings }: TierGrounds, { stage, findings, arbiter }: SpanStage): boolean {
  const { replicas } = predicate.stages[stage]!;
  const own = replicas[0]!.numericClass;
  const agreed = findings
    .filter(({ outcome }) => outcome === 'agreed')
    .map(({ shadow, limits: { isMeasured } }) => ({
      numericClass: replicas.find(({ id }) => id === shadow)!.numericClass,
      isMeasured,
    }));
  if (arbiter !== null) {
    const { numericClass } = arbiter;
    const calibration = holdings.calibrations.find(({ sha256 }) => sha256 === predicate.thresholds.sha256);
    // No limits of it are told: where the calibration is unknown, so is whether the pair was measured.
    const isMeasured =
      calibration === undefined || isKnownPair(own, numericClass, 'hidden', predicate.model, calibration.thresholds);
    agreed.push({ numericClass, isMeasured });
  }
  return isBacked(own, agreed);
}

/** True at a head where two drew different tokens, neither the primary nor one who agreed with its draws is of the engine, and no third drew. */
function areDrawsOpen({ predicate }: TierGrounds, { stage, findings, arbiter, drawnBy = null }: SpanStage): boolean {
  const { range, replicas } = predicate.stages[stage]!;
  if (!range.head || arbiter !== null || drawnBy !== null || isOfEngineFormat(replicas[0]!.numericClass)) return false;
  const isLost = findings.some(({ draws }) => (draws?.lost ?? 0) > 0);
  const isExactlyBacked = findings.some(({ shadow, draws }) => {
    const { numericClass } = replicas.find(({ id }) => id === shadow)!;
    return isOfEngineFormat(numericClass) && draws?.lost === 0;
  });
  return isLost && !isExactlyBacked;
}

/**
 * True if those signed on whose word the tier rests: the primary, and for an agreement a shadow of it; for a settlement the
 * third, or a shadow whose outputs differ from the primary's.
 */
function isCarried(
  grounds: TierGrounds,
  span: Pick<ReceiptSpan, 'start' | 'end'>,
  { stage, findings, arbiter }: SpanStage,
): boolean {
  const own = signerOf(grounds, stage, grounds.predicate.stages[stage]!.replicas[0]!.id);
  if (own === undefined) return false;
  const others = findings.map(({ shadow }) => signerOf(grounds, stage, shadow)).filter((each) => each !== undefined);
  if (arbiter === null) return others.length > 0;
  return thirdOf(grounds, span, stage) !== undefined || others.some((other) => differBy(own, other, span.end));
}

function signerOf({ signers }: TierGrounds, stage: number, id: string) {
  return signers.find((signer) => signer.stage === stage && signer.replica.id === id);
}

type Signed = NonNullable<ReturnType<typeof signerOf>>;

/** True if the outputs that two signed differ by `end`, at the end of its chunk. */
function differBy(a: Signed, b: Signed, end: number): boolean {
  const [mine, theirs] = [a, b].map(({ attestation }) =>
    attestation.predicate.outputs.find((output) => output.end >= end),
  );
  return mine?.sha256 !== theirs?.sha256;
}
