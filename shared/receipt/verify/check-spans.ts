import { EXACT } from '../../judge/closeness.ts';
import { countTiers, lowestTier, TIERS } from '../../judge/finding.ts';
import { outcomeOf } from '../../judge/judge.ts';
import { describeNumericClass, haveEqualBits, isOfEngineFormat } from '../../judge/numeric-class.ts';
import { isBacked } from '../../judge/stage-backing.ts';
import { formerThresholdFor, pairKey, thresholdFor } from '../../judge/thresholds.ts';
import { coversModel } from '../../model/stage.ts';
import { FORMER_SAMPLER } from '../../rows/inverse-sampler.ts';
import { unpackRuns, wantedLogits } from '../evidence/runs.ts';
import { samplerOf, type ReceiptPredicate } from '../receipt.ts';
import { count, demand, type CheckReceipt, type Subject } from './check.ts';

type ReceiptSpan = ReceiptPredicate['spans'][number];
type SpanStage = ReceiptSpan['stages'][number];
type ReceiptFinding = SpanStage['findings'][number];

/** The stages are a whole model, and the spans all that was run, without a gap; the counts are theirs. */
export const checkCoverage: CheckReceipt = ({ predicate: { stages, model, spans, positions, runs, verdict } }) => {
  const ranges = stages.map(({ range }) => range);
  demand(coversModel(ranges, model.layers), `the stages are not the ${model.layers} layers of a whole model`);
  unpackRuns(runs, positions);
  let end = 0;
  for (const span of spans) {
    demand(span.start === end && span.end > span.start, `a chunk begins at ${span.start}, not at ${end}`);
    end = span.end;
    const named = span.stages.map(({ stage }) => stage);
    const isInOrder = named.every((stage, i) => stage < stages.length && (i === 0 || stage > named[i - 1]!));
    const isWhole = named.length === stages.length || span.tier === 'disputed';
    demand(isInOrder && isWhole, `the verdict on positions ${span.start} to ${span.end - 1} leaves a stage out`);
  }
  demand(end === positions, `the chunks end at ${end}, not at ${positions}`);
  const counts = countTiers(spans.map(({ tier }) => tier));
  for (const tier of TIERS.toReversed()) {
    const found = counts[tier];
    demand(verdict.counts[tier] === found, `${verdict.counts[tier]} chunks are said to be ${tier}, ${found} are`);
  }
  return `all ${positions} positions are in ${count(spans.length, 'chunk')} in each of ${count(stages.length, 'stage')}`;
};

/** Each tier is what its findings make it, and no better than those who signed can bear out. */
export const checkVerdict: CheckReceipt = (subject) => {
  const { spans, verdict, stages, runs, positions } = subject.predicate;
  const wantedBefore = [0];
  for (const isWanted of wantedLogits(unpackRuns(runs, positions), positions)) {
    wantedBefore.push(wantedBefore.at(-1)! + Number(isWanted));
  }
  for (const span of spans) {
    demand(span.start < span.end && span.end <= positions, `there are no positions ${span.start} to ${span.end - 1}`);
    const wanted = wantedBefore[span.end]! - wantedBefore[span.start]!;
    for (const stage of span.stages) checkStage(subject, span, stage, wanted);
    const lowest = lowestTier(span.stages.map(({ tier }) => tier));
    demand(span.tier === lowest, `positions from ${span.start} are said to be ${span.tier}, a stage is ${lowest}`);
  }
  const lowest = lowestTier(spans.map(({ tier }) => tier));
  demand(verdict.tier === lowest, `the answer is said to be ${verdict.tier}, a chunk of it is ${lowest}`);
  return `${verdict.tier}: what the ${count(stages.length, 'stage')} of ${count(spans.length, 'chunk')} come to`;
};

function checkStage({ predicate, signers }: Subject, span: ReceiptSpan, judged: SpanStage, wanted: number): void {
  const { stage, tier, findings, arbiter, reason = null, drawnBy = null } = judged;
  const where = `positions ${span.start} to ${span.end - 1} at stage ${stage + 1}`;
  const { range, replicas } = predicate.stages[stage]!;
  const shadows = replicas.filter(({ role }) => role === 'shadow').map(({ id }) => id);
  const rows = range.head ? wanted : span.end - span.start;
  demand(new Set(findings.map(({ shadow }) => shadow)).size === findings.length, `${where} have a shadow twice`);
  for (const finding of findings) {
    demand(shadows.includes(finding.shadow), `${where} were compared with a key that the route does not have there`);
    checkFinding(finding, rows, where);
    // The runs of a span are in no receipt; where they matter, `chains` compares what was signed of them.
    const mine = replicas[0]!.numericClass;
    const theirs = replicas.find(({ id }) => id === finding.shadow)!.numericClass;
    const isAllowed = finding.isExact || finding.outcome === 'rejected' || !haveEqualBits(mine, theirs, false);
    demand(
      isAllowed,
      `${where} are said to differ a little, where ${describeNumericClass(mine)} leaves no room for that`,
    );
  }
  demand(reason === null || tier === 'unchecked', `${where} are said to be ${tier}, and why they are unchecked`);
  if (range.head) checkDraws(predicate, span, judged, wanted, where);
  const hasSigned = (id: string) => signers.some((signer) => signer.stage === stage && signer.replica.id === id);
  if (tier === 'checked') {
    demand(findings.every(({ outcome }) => outcome === 'agreed') && arbiter === null, `${where} were not agreed on`);
    const borneOut = hasSigned(replicas[0]!.id) && findings.some(({ shadow }) => hasSigned(shadow));
    demand(borneOut, `${where} are said to be checked, and no two keys signed that they ran them`);
    const agreed = findings.map(({ shadow, limits: { isMeasured } }) => {
      return { numericClass: classOf(replicas, shadow), isMeasured };
    });
    const hasClass = samplerOf(predicate) === FORMER_SAMPLER || isBacked(replicas[0]!.numericClass, agreed);
    demand(hasClass, `${where} are said to be checked, and nobody of a class that was measured or is exact agreed`);
  }
  if (tier === 'settled') {
    demand(arbiter !== null, `${where} are said to be settled by nobody`);
    const differing = findings.filter(({ outcome, draws }) => outcome !== 'agreed' || (draws?.lost ?? 0) > 0);
    const parties = [replicas[0]!.id, ...differing.map(({ shadow }) => shadow)];
    demand(drawnBy !== null || differing.length > 0, `${where} are said to be settled, and nobody differed`);
    demand(hasSigned(replicas[0]!.id), `${where} are said to be settled for a key that did not sign that it ran them`);
    demand(
      // A referee may be another shadow of the stage, where the server has no other anchor for it; an arbiter is none of them.
      (arbiter.role === 'referee' ? parties : replicas.map(({ id }) => id)).every((id) => id !== arbiter.id),
      `${where} were settled by a party to the difference`,
    );
  }
}

/** The token of each draw that is told of is one of the span, and one that another drew goes on only where it may. */
function checkDraws(
  { stages }: ReceiptPredicate,
  { start, end }: ReceiptSpan,
  { stage, tier, findings, arbiter, drawnBy = null }: SpanStage,
  wanted: number,
  where: string,
): void {
  const { replicas } = stages[stage]!;
  for (const { draws, isExact } of findings) {
    if (draws === null || draws === undefined) continue;
    const { drawn, lost, firstLost } = draws;
    const isIn = firstLost === null ? lost === 0 : lost > 0 && firstLost > start && firstLost <= end;
    demand(isIn && lost <= drawn && drawn <= wanted, `${where} tell of tokens drawn that they do not have`);
    demand(!isExact || lost === 0, `${where} are said to be equal bit for bit, and to draw different tokens`);
  }
  const agreed = findings.filter(({ outcome }) => outcome === 'agreed');
  const exact = agreed.filter(({ shadow }) => isOfEngineFormat(classOf(replicas, shadow)));
  const isOwn = isOfEngineFormat(replicas[0]!.numericClass);
  if (drawnBy !== null) {
    const isShadows = exact.some(({ shadow, draws }) => shadow === drawnBy && draws?.firstLost === end);
    const isReferees = arbiter?.id === drawnBy && arbiter.role === 'referee';
    const isAllowed = !isOwn && (isShadows || isReferees);
    demand(isAllowed, `${where} end with a token drawn by ${drawnBy}, which is of no exact class or drew none`);
  } else if (tier === 'checked' && !isOwn) {
    const isAgreed = agreed.every(({ draws }) => (draws?.lost ?? 0) === 0);
    const isBorneOut = isAgreed || exact.some(({ draws }) => draws?.lost === 0);
    demand(isBorneOut, `${where} are said to be checked, and no replica of an exact class drew the same`);
  }
}

function classOf(replicas: ReceiptPredicate['stages'][number]['replicas'], shadow: string): string {
  return replicas.find(({ id }) => id === shadow)!.numericClass;
}

/** The numbers of an agreement are within the limits it was held to. */
function checkFinding({ isExact, outcome, closeness, limits }: ReceiptFinding, rows: number, where: string): void {
  if (isExact) {
    const isEqual = (Object.keys(EXACT) as (keyof typeof EXACT)[]).every((key) => closeness[key] === EXACT[key]);
    demand(isEqual && outcome === 'agreed', `${where} are said to be equal bit for bit, and to differ`);
  } else if (outcome === 'agreed') {
    const isWithin = outcomeOf(closeness, { ...limits, isRefused: false }, rows) === 'agreed';
    demand(isWithin, `${where} are said to agree, and differ by more than their limits`);
  }
}

/** The stated limits are those of the calibration that the receipt names, for the classes that the route names. */
export const checkThresholds: CheckReceipt = ({ predicate, holdings: { calibrations } }) => {
  const calibration = calibrations.find(({ sha256 }) => sha256 === predicate.thresholds.sha256);
  let compared = 0;
  for (const { stage, findings } of predicate.spans.flatMap(({ stages }) => stages)) {
    const place = predicate.stages[stage];
    for (const { shadow, limits, isExact, outcome } of findings) {
      const other = place?.replicas.find(({ id }) => id === shadow);
      demand(place !== undefined && other !== undefined, `a finding at stage ${stage + 1} is by nobody of the route`);
      const kind = place.range.head ? 'logits' : 'hidden';
      const classes = [place.replicas[0]!.numericClass, other.numericClass] as const;
      const isPair = limits.pair === pairKey(...classes) && limits.kind === kind;
      demand(
        isPair,
        `stage ${stage + 1} was held to limits of another pair of classes (${limits.pair}, ${limits.kind})`,
      );
      if (calibration === undefined) continue;
      const limitsOf = samplerOf(predicate) === FORMER_SAMPLER ? formerThresholdFor : thresholdFor;
      const { isRefused, ...measured } = limitsOf(...classes, kind, predicate.model, calibration.thresholds);
      demand(isSame(measured, limits), `stage ${stage + 1} was held to limits that the calibration does not have`);
      const isUsable = !isRefused || isExact || outcome !== 'agreed';
      demand(isUsable, `stage ${stage + 1} agreed within limits that prove nothing for ${limits.pair}`);
      compared += 1;
    }
  }
  if (compared === 0 && predicate.spans.every(({ stages }) => stages.every(({ findings }) => findings.length === 0))) {
    return { notChecked: 'nothing was compared' };
  }
  if (calibration === undefined)
    return { notChecked: `the calibration ${predicate.thresholds.sha256} is not known here` };
  return `${count(compared, 'comparison')} held to the limits of calibration ${calibration.sha256.slice(0, 8)}`;
};

function isSame(a: ReceiptFinding['limits'], b: ReceiptFinding['limits']): boolean {
  const numbers = ({ isMeasured, accept, reject, tokenGap }: ReceiptFinding['limits']) => [
    isMeasured,
    tokenGap,
    ...[accept, reject].flatMap(({ median, p95, max, bias }) => [median, p95, max, bias]),
  ];
  const other = numbers(b);
  return numbers(a).every((value, i) => value === other[i]);
}
