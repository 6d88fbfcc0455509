import { countTiers, TIERS } from '../../judge/finding.ts';
import {
  areLimitsPossible,
  formerThresholdFor,
  pairKey,
  thresholdFor,
  unmeasuredThreshold,
} from '../../judge/thresholds.ts';
import { CHUNK_POSITIONS } from '../../limits.ts';
import { coversModel } from '../../model/stage.ts';
import { FORMER_SAMPLER } from '../../rows/inverse-sampler.ts';
import { unpackRuns } from '../evidence/runs.ts';
import { samplerOf, type ReceiptPredicate } from '../receipt.ts';
import { count, demand, type CheckReceipt } from './check.ts';

type ReceiptFinding = ReceiptPredicate['spans'][number]['stages'][number]['findings'][number];

/** The stages are a whole model, and the spans all that was run, without a gap; the counts are theirs. */
export const checkCoverage: CheckReceipt = ({ predicate: { stages, model, spans, positions, runs, verdict } }) => {
  const ranges = stages.map(({ range }) => range);
  demand(coversModel(ranges, model.layers), `the stages are not the ${model.layers} layers of a whole model`);
  unpackRuns(runs, positions);
  let end = 0;
  for (const span of spans) {
    demand(span.start === end && span.end > span.start, `a chunk begins at ${span.start}, not at ${end}`);
    const isInChunk = Math.floor(span.start / CHUNK_POSITIONS) === Math.floor((span.end - 1) / CHUNK_POSITIONS);
    demand(isInChunk, `positions ${span.start} to ${span.end - 1} are of more than one chunk`);
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

/** The stated limits are those of the calibration that the receipt names, for the classes that the route names. */
export const checkThresholds: CheckReceipt = ({ predicate, holdings: { calibrations } }) => {
  const calibration = calibrations.find(({ sha256 }) => sha256 === predicate.thresholds.sha256);
  const isFormer = samplerOf(predicate) === FORMER_SAMPLER;
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
      const where = `stage ${stage + 1} was held to limits that no calibration has`;
      demand(areLimitsPossible(limits), where);
      if (calibration === undefined) {
        const isCautious = limits.isMeasured || isSame(unmeasuredThreshold(limits.pair, kind, isFormer), limits);
        demand(isCautious, where);
        continue;
      }
      const limitsOf = isFormer ? formerThresholdFor : thresholdFor;
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
