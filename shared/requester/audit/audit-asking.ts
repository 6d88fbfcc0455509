import { MAX_OPEN_CHECKS } from '../../limits.ts';
import type { AuditReplica } from './audit-replica.ts';
import { isOwed, type AuditSpan } from './audit-span.ts';

/** The spans to ask the replica for now: in order, and so that no more than MAX_OPEN_CHECKS wait for it to commit and reveal. */
export function spansToAsk(open: readonly AuditSpan[], replica: AuditReplica): AuditSpan[] {
  if (!replica.isLinked) return [];
  const waiting = open.filter((span) => span.part(replica).reveal.first === null).slice(0, MAX_OPEN_CHECKS);
  return waiting.filter((span) => span.part(replica).commit.byMs === Infinity);
}

/** Notes that `span` was closed; true if the replica is now further behind than it may be. */
export function fallsBehind(open: readonly AuditSpan[], replica: AuditReplica, span: AuditSpan): boolean {
  const words = open.map((each) => each.part(replica).commit).filter(({ first }) => first === null);
  // Whom the others keep from being asked is not behind.
  const isHeldUp = words.filter(isOwed).length < MAX_OPEN_CHECKS && !isOwed(span.part(replica).commit);
  if (isHeldUp) replica.allowance += 1;
  return words.length > replica.allowance;
}
