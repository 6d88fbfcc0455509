import { equalBytes } from '../bytes.ts';
import { CHUNK_POSITIONS } from '../limits.ts';
import { candidatesOf, closenessOf, EXACT, FARTHEST, INCOMPARABLE, rowCount, type OutputKind } from './closeness.ts';
import { compareDraws, type ComparedDraws } from './draws.ts';
import type { Closeness, Finding, Outcome, Threshold } from './finding.ts';
import { haveEqualBits } from './numeric-class.ts';
import type { Testimony } from './statement.ts';
import type { PairThreshold } from './thresholds.ts';

/** Ratio of the updates' sizes beyond which no tolerance helps. */
const NORM_RANGE = { min: 0.8, max: 1.25 };
/** Below this many rows a median is hardly more than one row. */
const FEW_ROWS = 8;

/**
 * Compares the commits and reveals of a primary and a shadow of its stage for one span. The caller has checked each by
 * itself (`checkReveal`, signatures, equal inputs). Equal output chains agree; two replicas that must match (`mustMatch`) have
 * them, or one of them lied, whatever the limits are; otherwise the limits of their pair of classes decide. The tokens drawn
 * decide nothing here: whose draw goes on is another question.
 */
export function judge(primary: Testimony, shadow: Testimony, output: OutputKind, threshold: PairThreshold): Finding {
  const [mine, theirs] = [primary.commit.statement, shadow.commit.statement];
  const isExact = equalBytes(mine.outputTo, theirs.outputTo);
  const compared = isExact ? sameDraws(output) : drawsOf(shadow, output);
  const apart = isExact ? EXACT : measured(primary, shadow, output);
  const closeness = { ...apart, tokenGap: Math.max(apart.tokenGap, Math.min(FARTHEST, compared?.gap ?? 0)) };
  const mustBeExact = mustMatch(primary, shadow);
  const rows = rowCount(shadow.reveal.statement, output);
  const outcome = isExact ? 'agreed' : mustBeExact ? 'rejected' : outcomeOf(closeness, threshold, rows);
  const draws = compared?.draws ?? null;
  return { shadow: shadow.peer, shadowClass: shadow.numericClass, outcome, isExact, closeness, threshold, draws };
}

/** Equal bits draw the same, so that nothing has to be drawn again. */
function sameDraws(output: OutputKind): ComparedDraws | null {
  const tokens = (output.kind === 'logits' ? output.sampled?.tokens : undefined) ?? [];
  const drawn = tokens.filter((token) => token !== null).length;
  return drawn === 0 ? null : { draws: { drawn, lost: 0, firstLost: null }, redraw: null, gap: 0 };
}

/** What a replica's own rows draw; null where nothing was drawn, for hidden rows and for rows that are malformed. */
export function drawsOf({ reveal: { statement } }: Testimony, output: OutputKind): ComparedDraws | null {
  if (output.kind === 'hidden' || output.sampled === null) return null;
  try {
    const rows = candidatesOf(statement, output.vocabularySize);
    return compareDraws(rows, statement.end - rows.length, output.sampled);
  } catch {
    return null;
  }
}

/** True if equal inputs leave these two no room for any difference. */
export function mustMatch(a: Testimony, b: Testimony): boolean {
  const areRunsEqual = equalBytes(a.commit.statement.shapes, b.commit.statement.shapes);
  return haveEqualBits(a.numericClass, b.numericClass, areRunsEqual);
}

/** Logits rows that are malformed cannot be compared. */
function measured(primary: Testimony, shadow: Testimony, output: OutputKind): Closeness {
  try {
    return closenessOf(primary.reveal.statement, shadow.reveal.statement, output);
  } catch {
    return INCOMPARABLE;
  }
}

/** The outcome of a closeness found over `rows` rows. Between accept and reject, and where a pair is refused: `suspect`. */
export function outcomeOf(closeness: Closeness, threshold: PairThreshold, rows: number): Outcome {
  const { norm } = closeness;
  if (norm < NORM_RANGE.min || norm > NORM_RANGE.max) return 'rejected';
  if (exceeds(closeness, threshold.reject, rows)) return 'rejected';
  return threshold.isRefused || exceeds(closeness, threshold.accept, rows) ? 'suspect' : 'agreed';
}

/**
 * Limits are measured on whole chunks. The mean of independent noise over fewer rows is larger by the root of their share,
 * and the median of a few is held to what a single row may be off by.
 */
function exceeds(closeness: Closeness, limits: Threshold['accept'], rows: number): boolean {
  const bias = limits.bias * Math.sqrt(CHUNK_POSITIONS / Math.max(1, Math.min(rows, CHUNK_POSITIONS)));
  const median = rows < FEW_ROWS ? limits.p95 : limits.median;
  return closeness.median > median || closeness.p95 > limits.p95 || closeness.max > limits.max || closeness.bias > bias;
}
