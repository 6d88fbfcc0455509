import { PROBATION_CHUNKS } from '#shared/limits.ts';
import type { EarnedSpans } from '../store/trust-store.ts';

/** Witnessed spans, and the time since the first of them, that make a key long-trusted. */
export const LONG_TRUSTED_SPANS = 10 * PROBATION_CHUNKS;
export const LONG_TRUSTED_MS = 24 * 60 * 60_000;

/**
 * The witnessed spans of a key that count toward a threshold. Those of sessions that others than the server held bring half of
 * it at most, all together: whoever holds a session can tell a friend what the anchor in it signed, to be signed without
 * any work, and has as many keys and addresses as it likes. The other half was earned where the server knows what was asked.
 */
export function countedSpans({ own, others }: EarnedSpans, threshold: number): number {
  return own + Math.min(others, Math.floor(threshold / 2));
}

/** True until enough was witnessed. Spans that are merely agreed count for nothing. */
export function isNewKey(earned: EarnedSpans): boolean {
  return countedSpans(earned, PROBATION_CHUNKS) < PROBATION_CHUNKS;
}

/** The witnessed spans as they are shown: as far as they count toward the threshold that the key has before it. */
export function witnessedSpans(earned: EarnedSpans): number {
  return countedSpans(earned, isNewKey(earned) ? PROBATION_CHUNKS : LONG_TRUSTED_SPANS);
}

/** True for a key that has done right where the server saw it, often and for a day at least. */
export function isLongTrustedKey(earned: EarnedSpans, nowMs: number): boolean {
  const { firstWitnessedMs } = earned;
  const isLong = firstWitnessedMs !== null && nowMs - firstWitnessedMs >= LONG_TRUSTED_MS;
  return isLong && countedSpans(earned, LONG_TRUSTED_SPANS) >= LONG_TRUSTED_SPANS;
}
