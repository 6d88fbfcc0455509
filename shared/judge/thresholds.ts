import { z } from 'zod';
import { utf8 } from '../bytes.ts';
import { digestOf } from '../crypto/identity.ts';
import type { Threshold } from './finding.ts';
import { isExactPair, limitsClass } from './numeric-class.ts';
import measured from './thresholds.json' with { type: 'json' };

const difference = z.number().min(0);
const limitsSchema = z.strictObject({ median: difference, p95: difference, max: difference, bias: difference });

/** The findings of `npm run calibrate` for one pair of numeric classes and one kind of output. */
const pairSchema = z
  .strictObject({
    /** The two classes, of engines the format of their rows, sorted and joined with ` + `. */
    pair: z.string().max(405),
    kind: z.enum(['hidden', 'logits']),
    /** Honest chunks compared, and the positions in them. */
    chunks: z.int().min(1),
    positions: z.int().min(1),
    /** Quantiles over the honest chunks, of each number by itself. */
    quantiles: z.strictObject({
      p50: limitsSchema,
      p95: limitsSchema,
      p99: limitsSchema,
      p999: limitsSchema,
      max: limitsSchema,
    }),
    accept: limitsSchema,
    reject: limitsSchema,
    /** Largest token gap that passes. */
    tokenGap: difference,
    /** The substitution (other weights, a layer left out, ...) that came closest to an honest chunk, and its median. */
    weakestAttack: z.strictObject({ name: z.string().max(100), median: difference }),
    /** weakestAttack.median / accept.median. */
    gap: difference,
    /** True where the gap is below MIN_GAP: this pair proves nothing unless it is equal bit for bit. */
    isRefused: z.boolean(),
    date: z.iso.date(),
    command: z.string().max(300),
  })
  .refine(({ gap, isRefused }) => isRefused === gap < MIN_GAP, {
    message: 'isRefused contradicts the gap: a pair is refused exactly where its gap is below the least',
  });

export const thresholdsSchema = z.strictObject({
  format: z.literal('chorus-thresholds/1'),
  /** The largest model that was measured; what was found says nothing of larger ones. */
  largest: z.strictObject({ hiddenSize: z.int().min(1), layers: z.int().min(1) }),
  pairs: z.array(pairSchema).max(1000),
});
export type Thresholds = z.infer<typeof thresholdsSchema>;
export type MeasuredPair = z.infer<typeof pairSchema>;
export type ModelSize = Readonly<Thresholds['largest']>;

/** The least distance of the weakest substitution from what is accepted, as a factor. */
export const MIN_GAP = 3;

/** A threshold and whether its pair can tell honest work from the weakest attack. */
export interface PairThreshold extends Threshold {
  readonly isRefused: boolean;
}

/**
 * Limits for classes that nobody compared yet, which f32 arithmetic keeps. None is wider than a third of what the weakest
 * substitution that saves anything differs by: fewer bits in the weights (0.044 of hidden rows, 0.011 of logits) or rows of
 * 8 bits in SmolLM2 (0.024). A device that breaks them is suspect, and a third decides.
 */
export const CAUTIOUS = {
  hidden: {
    isMeasured: false,
    accept: { median: 1e-3, p95: 5e-3, max: 5e-3, bias: 1e-3 },
    reject: { median: 8e-3, p95: 1e-2, max: 1.2e-2, bias: 3.4e-3 },
    tokenGap: 0.02,
    isRefused: false,
  },
  logits: {
    isMeasured: false,
    accept: { median: 1e-3, p95: 2.5e-3, max: 2.5e-3, bias: 1e-4 },
    reject: { median: 3.6e-3, p95: 6e-3, max: 6.5e-3, bias: 1.1e-4 },
    tokenGap: 0.02,
    isRefused: false,
  },
} as const;

/** The limits of such classes in receipts whose answers were drawn by `chorus-sample/1`. */
const FORMERLY_CAUTIOUS = {
  isMeasured: false,
  accept: { median: 1e-3, p95: 5e-3, max: 2e-2, bias: 1e-3 },
  reject: { median: 2e-2, p95: 1e-1, max: 4e-1, bias: 2e-2 },
  tokenGap: 0.1,
  isRefused: false,
} as const;

/** Limits beyond which a key of any class may be suspended: so wide that no honest device comes near them. */
const CONVICTION = { median: 2e-2, p95: 1e-1, max: 4e-1, bias: 2e-2 } as const;

/** Reads a thresholds file; throws a ZodError on any other. */
export function parseThresholds(value: unknown): Thresholds {
  return thresholdsSchema.parse(value);
}

const MEASURED = parseThresholds(measured);

/** One calibration, and the SHA-256 of its file. */
export interface Calibration {
  readonly sha256: string;
  readonly thresholds: Thresholds;
}

/** The calibration in use. Its file is written as JSON.stringify writes it, so the digest is that of thresholds.json. */
export const CALIBRATION: Calibration = {
  sha256: digestOf(utf8(`${JSON.stringify(measured, null, 2)}\n`)),
  thresholds: MEASURED,
};

/** The name that a pair of numeric classes has limits under, whichever is named first. */
export function pairKey(a: string, b: string): string {
  return [limitsClass(a), limitsClass(b)].sort().join(' + ');
}

/** The limits for two replicas of these numeric classes; the cautious ones where nobody measured the pair, or so large a model. */
export function thresholdFor(
  a: string,
  b: string,
  kind: Threshold['kind'],
  { hiddenSize, layers }: ModelSize,
  { largest, pairs }: Thresholds = MEASURED,
): PairThreshold {
  const pair = pairKey(a, b);
  const isWithin = hiddenSize <= largest.hiddenSize && layers <= largest.layers;
  const found = pairs.find((candidate) => isWithin && candidate.pair === pair && candidate.kind === kind);
  if (found === undefined) return unmeasuredThreshold(pair, kind);
  const { accept, reject, tokenGap, isRefused } = found;
  return { pair, kind, isMeasured: true, accept, reject, tokenGap, isRefused };
}

/** The cautious limits for a pair that nobody measured; `isFormer` for receipts whose answers were drawn by `chorus-sample/1`. */
export function unmeasuredThreshold(pair: string, kind: Threshold['kind'], isFormer = false): PairThreshold {
  return { pair, kind, ...(isFormer ? FORMERLY_CAUTIOUS : CAUTIOUS[kind]) };
}

/** False for limits that no calibration can have: what is accepted reaches beyond what is rejected, or that beyond conviction. */
export function areLimitsPossible({ accept, reject }: Pick<Threshold, 'accept' | 'reject'>): boolean {
  const keys = ['median', 'p95', 'max', 'bias'] as const;
  return keys.every((key) => accept[key] <= reject[key] && reject[key] <= CONVICTION[key]);
}

/** `thresholdFor` as it was while tokens were drawn by `chorus-sample/1`. */
export function formerThresholdFor(...of: Parameters<typeof thresholdFor>): PairThreshold {
  const now = thresholdFor(...of);
  return now.isMeasured ? now : unmeasuredThreshold(now.pair, now.kind, true);
}

/** True for two classes that were compared in models of this size, and for two of one exact class, which need no limits. */
export function isKnownPair(
  a: string,
  b: string,
  kind: Threshold['kind'],
  size: ModelSize,
  thresholds: Thresholds = MEASURED,
): boolean {
  return isExactPair(a, b) || thresholdFor(a, b, kind, size, thresholds).isMeasured;
}

/**
 * The limits beyond which a key is suspended: never tighter than those for any class, for a device that was not among those
 * measured may bear the name of one that was.
 */
export function convictionLimits(threshold: PairThreshold): PairThreshold {
  const own = threshold.reject;
  const reject = {
    median: Math.max(own.median, CONVICTION.median),
    p95: Math.max(own.p95, CONVICTION.p95),
    max: Math.max(own.max, CONVICTION.max),
    bias: Math.max(own.bias, CONVICTION.bias),
  };
  return { ...threshold, reject };
}
