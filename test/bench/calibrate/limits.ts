import { quantile } from '#shared/judge/statistics.ts';
import { type MeasuredPair, MIN_GAP } from '#shared/judge/thresholds.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { HonestSpan } from './honest-pairs.ts';
import { formatsOf } from './pair-formats.ts';

type Limits = MeasuredPair['accept'];
export const statistics = ['median', 'p95', 'max', 'bias'] as const;

/** How far a device with other weights came from an honest one in a whole chunk. */
export interface AttackSpan {
  readonly name: string;
  /** The liar's class and that of the honest one. */
  readonly pair: string;
  /** Whether the liar saves anything by it, and how. */
  readonly isCheaper: boolean;
  readonly because: string;
  readonly kind: 'hidden' | 'logits';
  readonly closeness: Limits;
}

/**
 * The least that is accepted, whatever was measured. Hidden: the sizes of one f16 value of a row rounded the other way, as
 * measured; logits: ten roundings of f32.
 */
export interface Floor {
  readonly row: number;
  readonly worstRow: number;
}
export const LOGITS_FLOOR: Floor = { row: 6e-7, worstRow: 6e-6 };
/** In units of logits, or of probability: two tokens this close may change places. */
const TOKEN_GAP_FLOOR = 1e-3;

/**
 * The substitutions that a pair must tell from honest work. Where formats mix, honest devices differ by more than a weight
 * with more bits does, and only what is cheaper than honest work counts.
 */
export function attacksOn(pair: string, attacks: readonly AttackSpan[]): AttackSpan[] {
  const formats = formatsOf(pair);
  return attacks.filter((attack) => formatsOf(attack.pair) === formats && (formats !== 'mixed' || attack.isCheaper));
}

/** The limits for one pair and kind, by the rules in docs/verification.md. `spans` are whole chunks and shorter ones. */
export function measurePair(
  spans: readonly HonestSpan[],
  attacks: readonly AttackSpan[],
  floor: Floor,
  made: Pick<MeasuredPair, 'date' | 'command'>,
): MeasuredPair {
  const [first] = spans;
  if (first === undefined) throw new RangeError('no honest spans');
  const whole = spans.filter((span) => span.rows === CHUNK_POSITIONS);
  const at = (values: readonly HonestSpan[], q: number): Limits =>
    limits((name) =>
      quantile(
        values.map(({ closeness }) => closeness[name]),
        q,
      ),
    );
  const [p999, max] = [at(spans, 0.999), at(spans, 1)];
  const wanted = limits((name) => Math.max(2 * p999[name], max[name]));
  // Of few rows the p95 is the largest, and one row that is off is also their bias.
  const worstRow = Math.max(wanted.max, wanted.p95, floor.worstRow);
  const wholeMax = at(whole, 1);
  const accept: Limits = rounded({
    median: Math.max(2 * wholeMax.median, floor.row),
    p95: worstRow,
    max: worstRow,
    bias: Math.max(2 * wholeMax.bias, worstRow / Math.sqrt(CHUNK_POSITIONS)),
  });
  const weakest = weakestOf(attacksOn(first.pair, attacks).filter(({ kind }) => kind === first.kind));
  const gap = Number((weakest.closeness.median / accept.median).toPrecision(3));
  return {
    pair: first.pair,
    kind: first.kind,
    chunks: whole.length,
    positions: whole.length * CHUNK_POSITIONS,
    quantiles: {
      p50: rounded(at(whole, 0.5)),
      p95: rounded(at(whole, 0.95)),
      p99: rounded(at(whole, 0.99)),
      p999: rounded(at(whole, 0.999)),
      max: rounded(wholeMax),
    },
    accept,
    reject: rounded(limits((name) => Math.max(Math.sqrt(accept[name] * weakest.closeness[name]), accept[name]))),
    tokenGap: Number(
      Math.max(
        TOKEN_GAP_FLOOR,
        ...spans.map(({ closeness, draws }) => 2 * Math.max(closeness.tokenGap, draws?.largestChange ?? 0)),
      ).toPrecision(3),
    ),
    weakestAttack: { name: weakest.name, median: Number(weakest.closeness.median.toPrecision(3)) },
    gap,
    isRefused: gap < MIN_GAP,
    ...made,
  };
}

/** The chunk nearest to an honest one, in each number by itself. */
export function weakestOf(attacks: readonly AttackSpan[]): AttackSpan {
  const nearest = attacks.reduce((a, b) => (b.closeness.median < a.closeness.median ? b : a));
  const least = limits((name) => Math.min(...attacks.map(({ closeness }) => closeness[name])));
  return { ...nearest, closeness: least };
}

function limits(of: (name: (typeof statistics)[number]) => number): Limits {
  return { median: of('median'), p95: of('p95'), max: of('max'), bias: of('bias') };
}

function rounded(values: Limits): Limits {
  return limits((name) => Number(values[name].toPrecision(3)));
}
