import { EXACT } from '../../judge/closeness.ts';
import { lowestTier } from '../../judge/finding.ts';
import { outcomeOf } from '../../judge/judge.ts';
import { describeNumericClass, haveEqualBits, isExactPair, isOfEngineFormat } from '../../judge/numeric-class.ts';
import { isBacked } from '../../judge/stage-backing.ts';
import { CHUNK_POSITIONS } from '../../limits.ts';
import { FORMER_SAMPLER } from '../../rows/inverse-sampler.ts';
import { unpackRuns, wantedLogits } from '../evidence/runs.ts';
import { samplerOf, type ReceiptPredicate } from '../receipt.ts';
import { count, demand, type CheckReceipt, type Subject } from './check.ts';
import { tierBorneOut } from './derive-tier.ts';

type ReceiptSpan = ReceiptPredicate['spans'][number];
type SpanStage = ReceiptSpan['stages'][number];
type ReceiptFinding = SpanStage['findings'][number];

/** Each tier is what its findings make it, and no better than those who signed can bear out. */
export const checkVerdict: CheckReceipt = (subject) => {
  const { spans, verdict, stages, faults, runs, positions } = subject.predicate;
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
  for (const { volunteer } of faults.filter(({ isProven }) => isProven)) {
    const isPrimary = stages.some(({ replicas }) => replicas[0]!.id === volunteer);
    demand(!isPrimary, `a fault is said to be proven of ${volunteer}, on whose work the answer rests`);
  }
  const lowest = lowestTier(spans.map(({ tier }) => tier));
  demand(verdict.tier === lowest, `the answer is said to be ${verdict.tier}, a chunk of it is ${lowest}`);
  return `${verdict.tier}: what the ${count(stages.length, 'stage')} of ${count(spans.length, 'chunk')} come to`;
};

function checkStage(subject: Subject, span: ReceiptSpan, judged: SpanStage, wanted: number): void {
  const { predicate, signers } = subject;
  const { stage, tier, findings, arbiter, reason = null, drawnBy = null } = judged;
  const where = `positions ${span.start} to ${span.end - 1} at stage ${stage + 1}`;
  const { range, replicas } = predicate.stages[stage]!;
  const shadows = replicas.filter(({ role }) => role === 'shadow').map(({ id }) => id);
  const rows = range.head ? wanted : span.end - span.start;
  demand(new Set(findings.map(({ shadow }) => shadow)).size === findings.length, `${where} have a shadow twice`);
  for (const finding of findings) {
    demand(shadows.includes(finding.shadow), `${where} were compared with a key that the route does not have there`);
    // The runs of a span are in no receipt; where they matter, `chains` compares what was signed of them.
    const mine = replicas[0]!.numericClass;
    const theirs = replicas.find(({ id }) => id === finding.shadow)!.numericClass;
    // Of two of one exact class the smallest difference is a lie, whatever its size.
    checkFinding(finding, rows, finding.outcome === 'rejected' && isExactPair(mine, theirs), where);
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
  if (subject.version > 1) checkTier(subject, span, judged, where);
}

/** The tier and the reason are what the findings and signatures come to, or, at the head, lower for a token that may be anything. */
function checkTier(subject: Subject, span: ReceiptSpan, judged: SpanStage, where: string): void {
  const { tier, reason } = judged;
  const borneOut = tierBorneOut(subject, span, judged);
  const isSame = tier === borneOut.tier && (reason ?? null) === borneOut.reason;
  const isLowered = borneOut.reason === null && borneOut.tier !== 'disputed' && mayLower(subject, judged);
  const said = [tier, reason].filter((word) => word !== null).join(', ');
  const found = [borneOut.tier, borneOut.reason].filter((word) => word !== null).join(', ');
  demand(isSame || isLowered, `${where} are said to be ${said}; what was found and signed makes them ${found}`);
}

/** True for a reason that is not in the findings: an open token before, or the draws of a third. */
function mayLower({ predicate }: Subject, { stage, reason, findings, arbiter }: SpanStage): boolean {
  if (!predicate.stages[stage]!.range.head) return false;
  const areDrawsTold = arbiter !== null || findings.some(({ draws }) => (draws?.lost ?? 0) > 0);
  return reason === 'follows-open' || (reason === 'draws-differ' && areDrawsTold);
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
function checkFinding(
  { isExact, outcome, closeness, limits }: ReceiptFinding,
  rows: number,
  mayBeNear: boolean,
  where: string,
): void {
  if (isExact) {
    const isEqual = (Object.keys(EXACT) as (keyof typeof EXACT)[]).every((key) => closeness[key] === EXACT[key]);
    demand(isEqual && outcome === 'agreed', `${where} are said to be equal bit for bit, and to differ`);
  } else if (outcome === 'agreed') {
    const isWithin = outcomeOf(closeness, { ...limits, isRefused: false }, rows) === 'agreed';
    demand(isWithin, `${where} are said to agree, and differ by more than their limits`);
  } else {
    // A span that was cut back may have been judged on more rows than are left: the strictest reading must still differ.
    const strictest = outcomeOf(closeness, { ...limits, isRefused: false }, CHUNK_POSITIONS);
    const isSaid = outcome === 'suspect' ? strictest !== 'agreed' : strictest === 'rejected';
    demand(isSaid || mayBeNear, `${where} are said to be ${outcome}, and their numbers do not say so`);
  }
}
