import { describeRange, type StageRange } from '../model/stage.ts';
import type { CheckCounts, Tier, UncheckedReason } from './finding.ts';

/** An answer that is unchecked, or a part of it. */
export interface UncheckedAnswer {
  /** The verdicts there are. */
  readonly spans: readonly {
    readonly tier: Tier;
    readonly stages: readonly {
      readonly stage: number;
      readonly tier: Tier;
      readonly reason?: UncheckedReason | null | undefined;
    }[];
  }[];
  readonly counts: CheckCounts;
  /** Of its stages; empty where it never had a route. */
  readonly ranges: readonly StageRange[];
  /** False where no stage had a second replica. */
  readonly hasShadows: boolean;
  /** True where the person who asked stopped it. */
  readonly isStopped: boolean;
}

/** The chunks of an answer that something is said of: `all 3 chunks`, `1 of 3 chunks`. */
export function chunksOf(count: number, counts: CheckCounts): string {
  const total = counts.checked + counts.settled + counts.unchecked + counts.disputed;
  if (total === 1) return 'the only chunk';
  if (count < total) return `${count} of ${total} chunks`;
  return total === 2 ? 'both chunks' : `all ${total} chunks`;
}

/** What of an answer is unchecked, and why: at which stages, or that it ended before. Without full stops. */
export function describeUnchecked({ spans, counts, ranges, hasShadows, isStopped }: UncheckedAnswer): {
  readonly text: string;
  /** What became of the rest of it; null where there is none. */
  readonly rest: string | null;
} {
  const agreed = counts.checked + counts.settled;
  const all = (text: string) => ({ text, rest: null });
  if (agreed === 0 && !hasShadows && ranges.length > 0) {
    return all('Unchecked: one volunteer per stage ran this, nobody re-ran it');
  }
  const open = spans.filter(({ tier }) => tier === 'unchecked');
  const before = isStopped ? 'stopped before' : 'it ended before';
  if (open.length === 0) {
    return all(
      agreed === 0
        ? `Unchecked: ${before} its first check was finished`
        : `Partly unchecked: ${before} the rest of it was checked`,
    );
  }
  const lacking = open.flatMap((span) => span.stages.filter(({ tier }) => tier === 'unchecked'));
  const isAlone = lacking.every(({ reason }) => (reason ?? 'alone') === 'alone');
  const verb = (count: number) =>
    isAlone ? `${count === 1 ? 'was' : 'were'} computed by one volunteer only` : 'could not be checked';
  const end = counts.unchecked > open.length ? `; ${before} the rest of it was checked` : '';
  const where = chunksOf(open.length, counts);
  if (open.every((span) => span.stages.every(({ tier }) => tier === 'unchecked'))) {
    return all(`${agreed === 0 ? 'Unchecked' : 'Partly unchecked'}: ${where} ${verb(open.length)}${end}`);
  }
  const stages = [...new Set(lacking.map(({ stage }) => stage))].sort((a, b) => a - b);
  const names = stages.map((stage) => nameStage(stage, ranges[stage])).join(' and ');
  const chunks = agreed === 0 && end === '' ? '' : ` in ${where}`;
  return {
    text: `Partly unchecked: ${names} ${verb(stages.length)}${chunks}${end}`,
    rest: 'all else had the same result twice',
  };
}

/** The same in one sentence that goes on from another. */
export function sayUnchecked(answer: UncheckedAnswer): string {
  const { text, rest } = describeUnchecked(answer);
  const sentence = rest === null ? text : `${text}; ${rest}`;
  return `${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`;
}

/** `stage 2 (layers 4–7 + head)`: people count stages from 1. */
export function nameStage(stage: number, range: StageRange | undefined): string {
  return range === undefined ? `stage ${stage + 1}` : `stage ${stage + 1} (${describeRange(range)})`;
}
