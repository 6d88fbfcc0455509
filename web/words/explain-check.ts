import { shortId } from '#shared/ids.ts';
import type {
  CheckFailure,
  Closeness,
  Finding,
  SpanCheck,
  StageCheck,
  Threshold,
  Tier,
  UncheckedReason,
} from '#shared/judge/finding.ts';
import { chunksOf, describeUnchecked, nameStage } from '#shared/judge/describe-unchecked.ts';
import { haveEqualBits } from '#shared/judge/numeric-class.ts';
import type { Fault, Settling } from '../state/conversation/answer-checks.svelte.ts';
import type { ShownAnswer } from '../state/conversation/answer.svelte.ts';
import { toSentence } from './format.ts';

/** The words for checking, in one place. They say what was found, and never that an answer is true. */

export const TIER_NAMES: Readonly<Record<Tier, string>> = {
  checked: 'checked',
  settled: 'settled',
  unchecked: 'unchecked',
  disputed: 'disputed',
};

export const TIER_MEANINGS: Readonly<Record<Tier, string>> = {
  checked: 'two volunteers computed it separately and agreed',
  settled: 'two volunteers differed, and a third decided',
  unchecked: 'one volunteer computed it, or nobody could tell that a second one agreed',
  disputed: 'volunteers differed, and nobody could decide',
};

/** The limits of a check: what was compared, and what that does not show. */
export const NOT_SHOWN =
  'A check shows that volunteers with different keys computed the same thing from the same input. It does not show that ' +
  'what the model says is true, nor does it catch all volunteers of a stage lying together.';

/** The failures of volunteers, in words that follow `Volunteer 1a2b3c4d`. */
const FAILURES: Readonly<Record<Exclude<CheckFailure, 'disagreement'>, string>> = {
  unreachable: 'could not be reached for the check',
  'commit-missing': 'did not commit itself to what it computed',
  'commit-late': 'committed itself too late to what it computed',
  'commit-doubled': 'committed itself to two results for one chunk',
  'commit-replayed': 'sent the commitment of another chunk again',
  'commit-malformed': 'sent a commitment that cannot be read',
  'commit-signature': 'sent a commitment whose signature is false',
  'opening-changed': 'answered as if it had joined anew',
  'wrong-session': 'answered for another session',
  'wrong-span': 'answered for other positions than it was asked about',
  'reveal-missing': 'did not show what it had committed itself to',
  'reveal-late': 'showed too late what it had committed itself to',
  'reveal-doubled': 'showed two results for one chunk',
  'reveal-malformed': 'showed something that cannot be read',
  'reveal-signature': 'showed something whose signature is false',
  'reveal-seed': 'answered another challenge than the one it was given',
  'input-mismatch': 'says that it took in other numbers than the stage before says it passed on',
  'output-mismatch': 'committed itself to other numbers than those it delivered',
  'sketch-mismatch': 'showed other numbers than those it had committed itself to',
  'rows-refused': 'sent what the next ones could not take in',
  'shapes-mismatch': 'computed in other portions than those it was given',
  'not-finite': 'computed numbers that are not finite',
  'too-slow': 'fell too far behind with its check',
  'record-malformed': 'signed a record that cannot be read, or is about something else',
  'record-signature': 'sent a record whose signature is false',
  'record-mismatch': 'signed a record of other numbers than it had committed itself to',
};

/** Failures that may happen to any device, and accuse nobody. */
const LAPSES: ReadonlySet<CheckFailure> = new Set([
  ...(['unreachable', 'commit-missing', 'commit-late', 'reveal-missing', 'reveal-late', 'too-slow'] as const),
]);

/** Failures after the last check, which change nothing of the answer. */
const RECORDS: ReadonlySet<CheckFailure> = new Set([
  ...(['record-malformed', 'record-signature', 'record-mismatch'] as const),
]);

export interface FaultText {
  readonly title: string;
  readonly text: string;
  /** True for what may happen to any device. */
  readonly isLapse: boolean;
}

/** How it came to light; null where nothing more can be said. */
function foundBy({ code, isProven }: Fault): string | null {
  if (code !== 'disagreement') return isProven ? 'What it signed proves it.' : null;
  return isProven
    ? 'Found by an anchor that recomputed it; what they signed proves it.'
    : 'Found by a third volunteer.';
}

/** A failure of a volunteer in words that follow its name; one that is not known here keeps its code. */
export function describeFailure(code: string): string {
  if (code === 'disagreement') return 'computed it differently from two others';
  return Object.hasOwn(FAILURES, code) ? FAILURES[code as keyof typeof FAILURES] : `failed the check: ${code}`;
}

/** A fault in words: the volunteer, how it was found, and what became of the answer. */
export function explainFault(fault: Fault): FaultText {
  const { volunteer, role, code, isProven } = fault;
  const stage = nameStage(fault.stage, fault.range ?? undefined);
  const did =
    code !== 'disagreement'
      ? FAILURES[code]
      : isProven
        ? `computed ${stage} wrongly`
        : `computed ${stage} differently from two others`;
  const found = foundBy(fault);
  const after = RECORDS.has(code)
    ? 'The answer is complete; the receipt goes without its record.'
    : role === 'primary'
      ? 'Its stage is computed again by others.'
      : 'It only re-ran the stage; the text is not from it.';
  return {
    title: `Volunteer ${shortId(volunteer)} ${did}`,
    text: [found, after].filter((sentence) => sentence !== null).join(' '),
    isLapse: LAPSES.has(code),
  };
}

/** The wait while two replicas differ. */
export function explainSettling(settling: Settling): string {
  const third = settling.role === 'arbiter' ? 'a third' : 'an anchor';
  return `Two volunteers differ on ${nameStage(settling.stage, settling.range ?? undefined)}. Asking ${third}.`;
}

/** An answer's checks in a few words, and what these mean beside them; `tier` is null while nothing is known. */
export interface CheckSummaryText {
  readonly tier: Tier | null;
  readonly text: string;
  /** Null where the words say all. */
  readonly note: string | null;
}

export function summarizeChecks(answer: ShownAnswer): CheckSummaryText {
  const { tier, counts, settling } = answer.checks;
  const plain = (text: string) => ({ tier, text, note: null });
  switch (tier) {
    case null:
      if (settling !== null) return plain('Settling a difference');
      if (answer.decidedTokens === 0) return plain('Not checked yet');
      return plain(`Checked up to token ${answer.decidedTokens} of ${answer.tokens}`);
    case 'checked': {
      const where = chunksOf(counts.checked, counts);
      const note = `Two volunteers computed ${where}, ${agreement(stagesOf(answer))}. Whether it is true, nobody checked.`;
      return { tier, text: 'Checked: same result twice', note };
    }
    case 'settled': {
      const note = `A third volunteer decided ${chunksOf(counts.settled, counts)}. Whether it is true, nobody checked.`;
      return { tier, text: 'Checked: same result twice, after a difference', note };
    }
    case 'disputed':
      return plain(`Disputed: volunteers differ on ${chunksOf(counts.disputed, counts)}, and nobody could decide`);
    case 'unchecked': {
      const { routes, route } = answer.checks;
      const { text, rest } = describeUnchecked({
        spans: routes.flatMap(({ checks }) => checks),
        counts,
        ranges: route?.stages.map(({ range }) => range) ?? [],
        hasShadows: routes.some(({ route }) => route.stages.some(({ shadows }) => shadows.length > 0)),
        isStopped: answer.endReason === 'cancelled',
      });
      return { tier, text, note: rest === null ? null : toSentence(rest) };
    }
  }
}

function stagesOf({ checks }: ShownAnswer): readonly StageCheck[] {
  return checks.routes.flatMap((route) => route.checks.flatMap((check) => check.stages));
}

/** How those who agreed came to agree. */
function agreement(checks: readonly StageCheck[]): string {
  const checked = checks.filter(({ tier }) => tier === 'checked');
  return checked.length > 0 && checked.every(isExact) ? 'every bit the same' : 'within tolerance';
}

/** The meaning of one stage's verdict on one span, in a sentence. */
export function explainStageCheck(check: StageCheck): string {
  const { tier, findings, arbiter } = check;
  switch (tier) {
    case 'checked':
      return `${findings.length > 1 ? findings.length + 1 : 'Two'} volunteers computed this chunk separately${isExact(check) ? ': every bit is the same' : ' and agreed within tolerance'}.`;
    case 'settled':
      return arbiter?.role === 'referee'
        ? 'The two volunteers differed. An anchor of the server computed the chunk again, and agreed with the one whose text this is.'
        : 'The two volunteers differed. A third computed the chunk again, and agreed with the one whose text this is.';
    case 'unchecked':
      return UNCHECKED[check.reason ?? 'alone'];
    case 'disputed':
      return 'The volunteers differed, and no third could decide between them.';
  }
}

/** Why a chunk is unchecked at a stage. */
const UNCHECKED: Readonly<Record<UncheckedReason, string>> = {
  alone: 'One volunteer computed this chunk, and nobody re-ran it.',
  'class-not-measured':
    'Volunteers on devices of a kind that nobody has measured agreed on this chunk. No exact one re-ran it, so it counts as unchecked.',
  'draws-differ':
    'Two volunteers agreed within limits but drew different tokens. No exact one could say whose goes on, so it counts as unchecked.',
  'follows-open':
    'Volunteers agreed on this chunk, but it follows one that nobody could check, so it counts as unchecked.',
  'not-signed': 'No two volunteers signed that they computed this chunk, so it counts as unchecked.',
};

/** What became of tokens that the replicas of a chunk drew differently; null where they all drew the same. */
export function explainDraws({ findings, drawnBy, arbiter, tier }: StageCheck): string | null {
  const lost = findings.filter(({ outcome, draws }) => outcome === 'agreed' && (draws?.lost ?? 0) > 0);
  if (drawnBy !== null) {
    const whose = arbiter?.id === drawnBy ? 'the anchor’s' : 'the exact one’s';
    return `Two devices agreed within limits but drew another token at the end of this chunk; ${whose} went on.`;
  }
  if (lost.length === 0 || tier === 'unchecked') return null;
  const count = Math.max(...lost.map(({ draws }) => draws!.lost));
  const tokens = count === 1 ? 'another token' : `${count} other tokens`;
  return `Two devices agreed within limits but drew ${tokens}; the exact one’s went on.`;
}

/** The limits that two replicas were held to. */
export function explainThreshold({ pair, isMeasured }: Threshold, classes: readonly [string, string]): string {
  if (haveEqualBits(...classes, false))
    return 'Two of this engine have the same bits, so no limit excuses a difference.';
  const kinds = new Set(pair.split(' + '));
  const devices = kinds.size === 1 ? 'two devices of this kind' : 'these two kinds of device';
  return isMeasured
    ? `The limits come from honest runs of ${devices}.`
    : `Honest runs of ${devices} have not been measured yet, so cautious limits of their family stand in.`;
}

/** How far apart the tokens were that two replicas' logits lead to. */
export function explainTokenGap({ tokenGap }: Closeness, threshold: Threshold): string | null {
  if (threshold.kind !== 'logits') return null;
  if (tokenGap === 0) return 'From the other’s numbers the same tokens would have been drawn.';
  return `One token was nearly a tie: its logit ${tokenGap.toPrecision(2)} apart, where up to ${threshold.tokenGap.toPrecision(2)} was found between honest devices.`;
}

/** `positions 32–63`. */
export function describePositions({ start, end }: Pick<SpanCheck, 'start' | 'end'>): string {
  return end - start === 1 ? `position ${start}` : `positions ${start}–${end - 1}`;
}

/** True where every replica had the same bits. */
export function isExact({ tier, findings }: StageCheck): boolean {
  return tier === 'checked' && findings.length > 0 && findings.every((finding) => finding.isExact);
}

/** The work of a shadow and its outcome. */
export function describeOutcome({ outcome, isExact }: Finding): string {
  if (outcome === 'agreed') return isExact ? 're-ran it, every bit the same' : 're-ran it, agreed within tolerance';
  return outcome === 'suspect' ? 're-ran it, differed a little' : 're-ran it, differed';
}
