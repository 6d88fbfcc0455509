import type { Envelope } from '../crypto/envelope.ts';
import type { PeerId } from '../ids.ts';
import type { StageRange } from '../model/stage.ts';
import type { Draws } from './draws.ts';

/** Every way in which a replica can fail a check by what it says, or does not say. */
export const CHECK_FAILURES = [
  'unreachable',
  'commit-missing',
  'commit-late',
  'commit-doubled',
  'commit-replayed',
  'commit-malformed',
  'commit-signature',
  /** It speaks under another opening than in its first commit: it forgot the session and joined it anew, or says so. */
  'opening-changed',
  'wrong-session',
  'wrong-span',
  'reveal-missing',
  'reveal-late',
  'reveal-doubled',
  'reveal-malformed',
  'reveal-signature',
  'reveal-seed',
  /** It says it took in other bytes than the stage before says it sent. */
  'input-mismatch',
  /** It committed to other bytes than it delivered, as the requester or two receivers say. */
  'output-mismatch',
  /** Its sketch is not that of the bytes it delivered. */
  'sketch-mismatch',
  /** It computed in other runs than those it was given. */
  'shapes-mismatch',
  'not-finite',
  /** Its rows cannot be taken in, as two receivers say. */
  'rows-refused',
  /** It computed something else than the other replica, and a third sided with the other. */
  'disagreement',
  /** It fell behind by more than it may. */
  'too-slow',
  /** Its record, which it signs at the end of an answer, cannot be read or is about something else. */
  'record-malformed',
  'record-signature',
  /** Its record says other than it committed to. */
  'record-mismatch',
] as const;
export type CheckFailure = (typeof CHECK_FAILURES)[number];

const LATENESS = new Set<CheckFailure>([
  ...(['unreachable', 'too-slow'] as const),
  ...(['commit-missing', 'commit-late', 'reveal-missing', 'reveal-late'] as const),
]);

/** True for a failure that any busy machine may come to, and that shows nothing false. */
export function isLateness(code: CheckFailure): boolean {
  return LATENESS.has(code);
}

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
  /** How far the other replica's logits are, at most, from drawing the tokens that were drawn, in logits; 0 where they do. */
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
  /** Largest token gap that was found between honest devices, doubled; no finding depends on it. */
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
  /** What the shadow's own rows draw; null where nothing was drawn from the primary's, and of hidden rows. */
  readonly draws: Draws | null;
}

/** From the highest to the lowest. */
export const TIERS = ['checked', 'settled', 'unchecked', 'disputed'] as const;

/** `checked`: all its replicas agreed; `settled`: a third decided; `unchecked`: one replica only; `disputed`: nobody could decide. */
export type Tier = (typeof TIERS)[number];

/** The lowest of some tiers; `unchecked` of none. */
export function lowestTier(tiers: readonly Tier[]): Tier {
  return TIERS.findLast((tier) => tiers.includes(tier)) ?? 'unchecked';
}

/** Why a stage of a span is unchecked. */
export const UNCHECKED_REASONS = [
  /** One replica computed it. */
  'alone',
  /** The class of the primary was not measured, and no replica of an exact class agreed. */
  'class-not-measured',
  /** Two agreed within limits but drew different tokens, neither of them in an exact class, and no referee drew. */
  'draws-differ',
  /** It follows a token that is open for one of the two reasons before: its text is only as good as that. */
  'follows-open',
  /** No second key signed that it computed it, or the primary did not. */
  'not-signed',
] as const;
export type UncheckedReason = (typeof UNCHECKED_REASONS)[number];

/** What a third signed of its work, under the salt of the record that was to follow, and the route that the server gave it. */
export interface ThirdRecord {
  readonly salt: Uint8Array<ArrayBuffer>;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly attestation: Envelope;
  readonly route: Envelope;
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
  readonly arbiter: {
    readonly id: PeerId;
    readonly role: 'arbiter' | 'referee';
    readonly numericClass: string;
    /** Null where it did not sign in time. */
    readonly signed?: ThirdRecord | null;
  } | null;
  /** Null for every tier but `unchecked`. */
  readonly reason: UncheckedReason | null;
  /** The replica whose draw went on at the end of the span in place of the primary's; null where the primary's did. */
  readonly drawnBy: PeerId | null;
}

/** The verdict on positions [start, end) of a session. */
export interface SpanCheck {
  readonly start: number;
  readonly end: number;
  /** The lowest tier of its stages. */
  readonly tier: Tier;
  readonly stages: readonly StageCheck[];
}

/** True where two computed the span and it is unchecked all the same: tokens drawn from it may be anything. */
export function isOpen({ stages }: SpanCheck): boolean {
  return stages.some(({ reason }) => reason === 'class-not-measured' || reason === 'draws-differ');
}

/** The verdict on a span that follows an open one: what was computed is right, of tokens that may not be. */
export function followingOpen(check: SpanCheck): SpanCheck {
  if (lowestTier([check.tier, 'unchecked']) !== 'unchecked') return check;
  const stages = check.stages.map((stage): StageCheck => {
    const isLowered = stage.range.head && (stage.tier === 'checked' || stage.tier === 'settled');
    return isLowered ? { ...stage, tier: 'unchecked', reason: 'follows-open' } : stage;
  });
  return { ...check, tier: 'unchecked', stages };
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
