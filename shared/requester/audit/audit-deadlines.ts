import type { CheckFailure } from '../../judge/finding.ts';
import type { Span } from '../../judge/statement.ts';
import { MAX_OPEN_CHECKS } from '../../limits.ts';
import type { AuditPanel, AuditReplica } from './audit-replica.ts';
import { isOwed, type AuditSpan, type ReplicaWords } from './audit-span.ts';

/** A deadline missed by this much was missed by the requester itself, whose timers did not run. */
const ASLEEP_MS = 2_000;
/** Messages that came in the meantime are handled within this time. */
const EXCUSE_MS = 2_000;

/** The deadlines in the check of a session. */
export class AuditDeadlines {
  /** When the requester must have a link to every replica. */
  linkByMs = Infinity;
  /** When the open span is closed as it is. */
  silentByMs = Infinity;
  #isLinkExcused = false;

  next(spans: readonly AuditSpan[], panel: AuditPanel): number {
    let nextMs = Math.min(this.silentByMs, this.#linkMs(panel));
    for (const word of owedWords(spans, panel)) nextMs = Math.min(nextMs, word.byMs);
    return nextMs;
  }

  /** Nobody pays for time in which the requester slept (a tab put aside, a closed machine): each gets more, once. */
  excuse(spans: readonly AuditSpan[], panel: AuditPanel, nowMs: number): void {
    const isMissed = (byMs: number) => byMs + ASLEEP_MS <= nowMs;
    if (!this.#isLinkExcused && isMissed(this.#linkMs(panel))) {
      this.#isLinkExcused = true;
      this.linkByMs = nowMs + EXCUSE_MS;
    }
    for (const word of owedWords(spans, panel)) {
      if (word.isExcused || !isMissed(word.byMs)) continue;
      word.isExcused = true;
      word.byMs = nowMs + EXCUSE_MS;
    }
  }

  #linkMs(panel: AuditPanel): number {
    return panel.live.some(({ isLinked }) => !isLinked) ? this.linkByMs : Infinity;
  }
}

function owedWords(spans: readonly AuditSpan[], panel: AuditPanel): ReplicaWords[keyof ReplicaWords][] {
  return spans
    .flatMap((span) => panel.live.map((replica) => span.wordsOf(replica)))
    .flatMap(({ commit, reveal }) => [commit, reveal])
    .filter(isOwed);
}

/** The first statement that the replica should have made by now; null if none is overdue. */
export function overdue(
  spans: readonly AuditSpan[],
  replica: AuditReplica,
  nowMs: number,
): { readonly span: Span; readonly code: CheckFailure } | null {
  for (const open of spans) {
    const { commit, reveal } = open.wordsOf(replica);
    if (isOwed(commit) && nowMs >= commit.byMs) return { span: open.span, code: 'commit-missing' };
    if (isOwed(reveal) && nowMs >= reveal.byMs) return { span: open.span, code: 'reveal-missing' };
  }
  return null;
}

/** The spans to ask the replica for now: in order, and so that no more than MAX_OPEN_CHECKS wait for it to commit and reveal. */
export function spansToAsk(open: readonly AuditSpan[], replica: AuditReplica): AuditSpan[] {
  if (!replica.isLinked) return [];
  const waiting = open.filter((span) => span.wordsOf(replica).reveal.first === null).slice(0, MAX_OPEN_CHECKS);
  return waiting.filter((span) => span.wordsOf(replica).commit.byMs === Infinity);
}

/** Notes that `span` was closed; true if the replica is now further behind than it may be. */
export function fallsBehind(open: readonly AuditSpan[], replica: AuditReplica, span: AuditSpan): boolean {
  const words = open.map((each) => each.wordsOf(replica).commit).filter(({ first }) => first === null);
  // A replica that is not asked because of the others is not behind.
  const isHeldUp = words.filter(isOwed).length < MAX_OPEN_CHECKS && !isOwed(span.wordsOf(replica).commit);
  if (isHeldUp) replica.allowance += 1;
  return words.length > replica.allowance;
}
