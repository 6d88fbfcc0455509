import type { PeerId } from '../ids.ts';
import type { StageRange } from '../model/stage.ts';

/** Every way in which a replica can fail a check by what it says, or does not say. */
export type CheckFailure =
  | 'unreachable'
  | 'commit-missing'
  | 'commit-late'
  | 'commit-doubled'
  | 'commit-replayed'
  | 'commit-malformed'
  | 'commit-signature'
  /** It speaks under another opening than in its first commit: it forgot the session and joined it anew, or says so. */
  | 'opening-changed'
  | 'wrong-session'
  | 'wrong-span'
  | 'reveal-missing'
  | 'reveal-late'
  | 'reveal-doubled'
  | 'reveal-malformed'
  | 'reveal-signature'
  | 'reveal-seed'
  /** It says it took in other bytes than the stage before says it sent. */
  | 'input-mismatch'
  /** It committed to other bytes than it delivered, as the requester or two receivers say. */
  | 'output-mismatch'
  /** Its sketch is not that of the bytes it delivered. */
  | 'sketch-mismatch'
  /** It computed in other runs than those it was given. */
  | 'shapes-mismatch'
  | 'not-finite'
  /** Its rows cannot be taken in, as two receivers say. */
  | 'rows-refused'
  /** It computed something else than the other replica, and a third sided with the other. */
  | 'disagreement'
  /** It fell behind by more than it may. */
  | 'too-slow'
  /** Its record, which it signs at the end of an answer, cannot be read or is about something else. */
  | 'record-malformed'
  | 'record-signature'
  /** Its record says other than it committed to. */
  | 'record-mismatch';

/** How close two replicas of a stage came in one span: relative differences of their updates. */
export interface Closeness {
  /** Over the span's positions; `p95` is the nearest rank. */
  readonly median: number;
  readonly p95: number;
  readonly max: number;
  /** Size of the mean difference, relative: honest noise averages out, a push into one direction does not. */
  readonly bias: number;
  /** Median ratio of the updates' sizes. */
  readonly norm: number;
  /** Largest distance of a sampled token from what the other replica's logits would have given; 0 where it is the same. */
  readonly tokenGap: number;
}

/** The limits one pair of numeric classes is held to, for one kind of output. */
export interface Threshold {
  /** The pair, sorted and joined with ` + `. */
  readonly pair: string;
  readonly kind: 'hidden' | 'logits';
  /** False where no honest pair of these classes was measured and the family's cautious limits stand in. */
  readonly isMeasured: boolean;
  readonly accept: { readonly median: number; readonly p95: number; readonly max: number; readonly bias: number };
  readonly reject: { readonly median: number; readonly p95: number; readonly max: number; readonly bias: number };
  /** Largest token gap that is honest. */
  readonly tokenGap: number;
}

export type Outcome =
  /** Bit for bit, or within the accept limits. */
  | 'agreed'
  /** Between accept and reject. */
  | 'suspect'
  | 'rejected';

/** The comparison of a primary with one of its shadows in one span. */
export interface Finding {
  readonly shadow: PeerId;
  readonly shadowClass: string;
  readonly outcome: Outcome;
  /** True where all bits were equal. */
  readonly isExact: boolean;
  readonly closeness: Closeness;
  readonly threshold: Threshold;
}

/** From the highest to the lowest. */
export const TIERS = ['checked', 'settled', 'unchecked', 'disputed'] as const;

/** `checked`: all its replicas agreed; `settled`: a third decided; `unchecked`: one replica only; `disputed`: nobody could decide. */
export type Tier = (typeof TIERS)[number];

/** The lowest of some tiers; `unchecked` of none. */
export function lowestTier(tiers: readonly Tier[]): Tier {
  return TIERS.findLast((tier) => tiers.includes(tier)) ?? 'unchecked';
}

/** One stage of one span, as the requester judged it. */
export interface StageCheck {
  readonly stage: number;
  readonly range: StageRange;
  readonly tier: Tier;
  readonly primary: PeerId;
  readonly primaryClass: string;
  readonly findings: readonly Finding[];
  /** The replica that settled it, where one did. */
  readonly arbiter: { readonly id: PeerId; readonly role: 'arbiter' | 'referee'; readonly numericClass: string } | null;
}

/** The verdict on positions [start, end) of a session. */
export interface SpanCheck {
  readonly start: number;
  readonly end: number;
  /** The lowest tier of its stages. */
  readonly tier: Tier;
  readonly stages: readonly StageCheck[];
}

/** Counts of an answer's spans by tier. */
export type CheckCounts = Readonly<Record<Tier, number>>;

/** A count for each tier. */
export function countsBy(count: (tier: Tier) => number): Record<Tier, number> {
  return {
    checked: count('checked'),
    settled: count('settled'),
    unchecked: count('unchecked'),
    disputed: count('disputed'),
  };
}

/** How many of each tier there are among these. */
export function countTiers(tiers: readonly Tier[]): Record<Tier, number> {
  return countsBy((tier) => tiers.filter((each) => each === tier).length);
}

export function noCounts(): Record<Tier, number> {
  return countsBy(() => 0);
}
