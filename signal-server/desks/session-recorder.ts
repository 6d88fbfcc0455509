import type { Logger } from 'pino';
import type { Clock } from '#shared/clock.ts';
import { countsBy, TIERS, type CheckCounts } from '#shared/judge/finding.ts';
import type { Store, Totals } from '../store/store.ts';
import { mostSpans, type Trust } from '../trust/trust.ts';
import type { Metrics } from '../view/metrics.ts';
import type { FinishedSession } from './route-desk.ts';

export interface SessionRecorderDeps {
  readonly clock: Clock;
  readonly store: Store;
  readonly trust: Pick<Trust, 'credit' | 'complain'>;
  readonly metrics: Pick<Metrics, 'sessions' | 'tokens' | 'spans' | 'replays'>;
  readonly log: Logger;
}

/** Puts ended sessions on record: history, figures, and what they bring or cost their volunteers in trust. */
export class SessionRecorder {
  readonly #deps: SessionRecorderDeps;
  #totals: Totals;

  constructor(deps: SessionRecorderDeps) {
    this.#deps = deps;
    this.#totals = deps.store.totals();
  }

  /** Of all answers that the store knows. */
  get totals(): Totals {
    return this.#totals;
  }

  /** Spans by verdict, also of sessions that still run. */
  checksWith(running: readonly FinishedSession[]): CheckCounts {
    return running.map(countsOf).reduce(
      addCounts,
      countsBy((tier) => this.#totals[tier]),
    );
  }

  record(session: FinishedSession): void {
    const { lease, outcome } = session;
    if (lease.role === 'answer') this.#recordAnswer(session);
    else this.#deps.metrics.replays.inc({ role: lease.role, outcome });
  }

  #recordAnswer(finished: FinishedSession): void {
    const { clock, log, metrics, store, trust } = this.#deps;
    const { lease, outcome, tokens, tokensPerSecond, faults, checks: reported } = finished;
    const { session, model, issuedAtMs, stages } = lease.route;
    const checks = countsOf(finished);
    metrics.sessions.inc({ outcome });
    metrics.tokens.inc(tokens);
    for (const tier of TIERS) metrics.spans.inc({ tier }, checks[tier]);
    store.sessionEnded({
      id: session,
      model,
      requester: lease.requester,
      issuedMs: issuedAtMs,
      endedMs: Math.floor(clock.wallMs()),
      outcome,
      tokens,
      tokensPerSecond,
      primaries: stages.map((stage) => stage.primary.id),
      faults: faults.map(({ volunteer }) => volunteer),
      checks,
    });
    this.#totals = addUp(this.#totals, outcome, tokens, checks);
    if (reported !== null) trust.credit(lease, tokens, reported.agreed);
    for (const { volunteer, code } of faults) {
      // A link is lost by either end, or by neither.
      if (code !== 'link-lost') trust.complain(lease.requester, volunteer);
    }
    const blamed = faults.map(({ volunteer, code }) => ({ volunteer, code }));
    log.info(
      { session, outcome, tokens, tokensPerSecond, stages: stages.length, checks, faults: blamed },
      'session ended',
    );
  }
}

/** No more than its tokens can have had. */
function countsOf({ lease, tokens, checks }: FinishedSession): CheckCounts {
  const most = mostSpans(lease.route, tokens);
  return countsBy((tier) => Math.min(most, checks?.[tier] ?? 0));
}

function addCounts(a: CheckCounts, b: CheckCounts): CheckCounts {
  return countsBy((tier) => a[tier] + b[tier]);
}

function addUp(totals: Totals, outcome: FinishedSession['outcome'], tokens: number, checks: CheckCounts): Totals {
  return {
    finished: totals.finished + (outcome === 'failed' ? 0 : 1),
    failed: totals.failed + (outcome === 'failed' ? 1 : 0),
    tokens: totals.tokens + tokens,
    ...addCounts(totals, checks),
  };
}
