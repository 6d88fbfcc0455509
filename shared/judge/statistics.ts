/** The nearest-rank quantile: the smallest value that at least the share `q` of all are not above. Throws RangeError for none. */
export function quantile(values: Iterable<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) throw new RangeError('no values to take a quantile of');
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
}

/** Euclidean length. */
export function norm(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}
