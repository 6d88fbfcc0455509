import type { Logger } from 'pino';
import type { Clock } from '#shared/clock.ts';
import { countsBy, noCounts, TIERS, type CheckCounts } from '#shared/judge/finding.ts';
import type { HistoryStore, Totals } from '../store/history-store.ts';
import { addCheckCounts } from '../store/totals.ts';
import type { Complaints } from '../trust/complaints.ts';
import { mostSpans } from '../trust/trust.ts';
import type { Metrics } from '../view/metrics.ts';
import type { FinishedSession } from './running-sessions.ts';

export interface FinishedSessionsDeps {
  readonly clock: Clock;
  readonly history: Pick<HistoryStore, 'sessionEnded' | 'totals'>;
  readonly complaints: Pick<Complaints, 'hear' | 'unreached'>;
  readonly metrics: Pick<Metrics, 'sessions' | 'tokens' | 'chunks' | 'replays'>;
  readonly log: Logger;
  /** The store did not take what is to be kept. */
  readonly onError: (error: unknown) => void;
}

/** Accounts for finished sessions: history, figures, and what their requesters complain of. No trust comes or goes with them. */
export class FinishedSessions {
  readonly #deps: FinishedSessionsDeps;

  constructor(deps: FinishedSessionsDeps) {
    this.#deps = deps;
  }

  /** The sums of all answers that the store knows. */
  get totals(): Totals {
    return this.#deps.history.totals;
  }

  /** Spans by verdict, also of sessions that still run. */
  checksWith(running: readonly FinishedSession[]): CheckCounts {
    return running.map(countsOf).reduce(addCheckCounts, addCheckCounts(this.totals, noCounts()));
  }

  add(session: FinishedSession): void {
    const { lease, outcome } = session;
    if (lease.role === 'answer') this.#addAnswer(session);
    else this.#deps.metrics.replays.inc({ role: lease.role, outcome });
  }

  #addAnswer(finished: FinishedSession): void {
    const { clock, history, log, metrics, onError, complaints } = this.#deps;
    const { lease, outcome, tokens, positions, tokensPerSecond, faults, stalled } = finished;
    const { session, model, issuedAtMs, stages } = lease.route;
    const endedMs = Math.floor(clock.wallMs());
    const checks = countsOf(finished);
    metrics.sessions.inc({ outcome });
    metrics.tokens.inc(tokens);
    for (const tier of TIERS) metrics.chunks.inc({ tier }, checks[tier]);
    history
      .sessionEnded({
        id: session,
        model,
        requester: lease.requester,
        issuedMs: issuedAtMs,
        endedMs,
        outcome,
        tokens,
        positions,
        tokensPerSecond,
        primaries: stages.map((stage) => stage.primary.id),
        shadows: stages.flatMap((stage) => stage.shadows.map(({ id }) => id)),
        faults: faults.map(({ volunteer }) => volunteer),
        checks,
      })
      .catch(onError);
    for (const { volunteer, code } of faults) {
      const words = [lease.requester, session, volunteer] as const;
      // A link is lost by either end, or by neither.
      if (code === 'link-lost') complaints.unreached(...words);
      else complaints.hear(...words);
    }
    for (const volunteer of stalled) complaints.hear(lease.requester, session, volunteer);
    const blamed = faults.map(({ volunteer, code }) => ({ volunteer, code }));
    log.info(
      {
        ...{ session, outcome, tookMs: Math.max(0, endedMs - issuedAtMs), waitedMs: Math.round(lease.waitedMs) },
        ...{ tokens, tokensPerSecond, stages: stages.length, checks, faults: blamed, stalled },
      },
      'session ended',
    );
  }
}

/** The spans of a session by verdict, no more than its tokens can have had. */
function countsOf({ lease, tokens, checks }: FinishedSession): CheckCounts {
  const most = mostSpans(lease.route, tokens);
  return countsBy((tier) => Math.min(most, checks?.[tier] ?? 0));
}
