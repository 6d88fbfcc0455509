import type { PeerId } from '#shared/ids.ts';
import { noCounts, type CheckCounts, type SpanCheck, type Tier } from '#shared/judge/finding.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { readersOf } from '#shared/route/readers.ts';
import type { ReceiptVerdict } from '#shared/receipt/build/make-receipt.ts';
import type { Route } from '#shared/route/route.ts';
import type { KeptAnswer } from '../../conversations/kept-conversation.ts';
import type { KeptEvidence } from '../../conversations/kept-evidence.ts';
import type { ChatEvent } from './chat.ts';

type EventOf<Type extends ChatEvent['type']> = Extract<ChatEvent, { type: Type }>;

/** The checks of an answer while it was on one route. */
export interface CheckedRoute {
  readonly route: Route;
  readonly checks: readonly SpanCheck[];
  readonly faults: readonly Fault[];
}

/** Two replicas differ, and a third is asked. */
export type Settling = Omit<EventOf<'settling'>, 'type'> & { readonly range: StageRange | null };

/** A volunteer that failed the check. */
export type Fault = Omit<EventOf<'fault'>, 'type'> & { readonly range: StageRange | null };

/** A change of route that no fault in the check explains. */
export interface Reroute {
  readonly reason: string;
  readonly volunteer: PeerId | null;
}

/** How an answer's parts were checked, by whom, and what was found. */
export class AnswerChecks {
  routes: readonly CheckedRoute[] = $state.raw([]);
  settling: Settling | null = $state.raw(null);
  reroutes: readonly Reroute[] = $state.raw([]);
  /** Volunteers that could read what was asked, on whatever route. */
  readers: readonly PeerId[] = $state.raw([]);
  /** Known at the end. */
  tier: Tier | null = $state(null);
  counts: CheckCounts = $state.raw(noCounts());

  /** On all routes, in order. */
  get faults(): readonly Fault[] {
    return this.routes.flatMap(({ faults }) => faults);
  }

  get route(): Route | null {
    return this.routes.at(-1)?.route ?? null;
  }

  /** The answer goes over this route from now on. */
  take(route: Route): void {
    const kept = this.routes.filter(({ checks, faults }) => checks.length + faults.length > 0);
    this.routes = [...kept, { route, checks: [], faults: [] }];
    this.#noteReaders(readersOf([route]));
  }

  add(check: SpanCheck): void {
    this.#change(({ checks }) => ({ checks: [...checks, check] }));
    const thirds = check.stages.flatMap(({ arbiter }) => (arbiter === null ? [] : [arbiter.id]));
    this.#noteReaders(thirds);
    this.counts = { ...this.counts, [check.tier]: this.counts[check.tier] + 1 };
    this.settling = null;
  }

  #noteReaders(readers: Iterable<PeerId>): void {
    const fresh = [...readers].filter((id) => !this.readers.includes(id));
    if (fresh.length > 0) this.readers = [...this.readers, ...fresh];
  }

  settle({ type: _, ...event }: EventOf<'settling'>): void {
    this.settling = { ...event, range: this.#range(event.stage) };
  }

  fault({ type: _, ...event }: EventOf<'fault'>): void {
    const fault = { ...event, range: this.#range(event.stage) };
    this.#change(({ faults }) => ({ faults: [...faults, fault] }));
  }

  reroute({ reason, volunteer }: EventOf<'rerouted'>): void {
    this.settling = null;
    const isExplained = volunteer !== null && this.faults.some((fault) => fault.volunteer === volunteer);
    if (!isExplained) this.reroutes = [...this.reroutes, { reason, volunteer }];
  }

  end({ tier, counts }: Pick<EventOf<'end'>, 'tier' | 'counts'>): void {
    this.settling = null;
    this.tier = tier;
    this.counts = counts;
  }

  /** The receipt's own verdict, no better than those who signed bear out: it is what others read of this answer. */
  conclude({ tier, counts, spans }: ReceiptVerdict): void {
    this.end({ tier, counts });
    this.#change(({ checks }) => ({ checks: checks.map((check) => asSigned(check, spans)) }));
  }

  /** Takes up what was kept of an answer's checks; without their evidence the verdict stands alone. */
  restore(evidence: Pick<KeptEvidence, 'routes' | 'reroutes'> | null, { tier, counts }: KeptAnswer): void {
    this.routes = evidence?.routes ?? [];
    this.reroutes = evidence?.reroutes ?? [];
    const thirds = this.routes.flatMap(({ checks }) =>
      checks.flatMap(({ stages }) => stages.flatMap(({ arbiter }) => arbiter?.id ?? [])),
    );
    this.#noteReaders(
      readersOf(
        this.routes.map(({ route }) => route),
        thirds,
      ),
    );
    this.counts = counts;
    if (tier === null) this.breakOff();
    else this.tier = tier;
  }

  /** The answer broke off: nothing that is open will be decided. */
  breakOff(): void {
    this.settling = null;
    this.tier = this.counts.disputed > 0 ? 'disputed' : 'unchecked';
  }

  #change(change: (last: CheckedRoute) => Partial<CheckedRoute>): void {
    const last = this.routes.at(-1);
    if (last !== undefined) this.routes = [...this.routes.slice(0, -1), { ...last, ...change(last) }];
  }

  #range(stage: number): StageRange | null {
    return this.route?.stages[stage]?.range ?? null;
  }
}

/** A verdict as the receipt has it. */
function asSigned(check: SpanCheck, spans: ReceiptVerdict['spans']): SpanCheck {
  const signed = spans.find(({ start, end }) => start === check.start && end === check.end);
  if (signed === undefined) return check;
  const stages = check.stages.map((stage) => {
    const { tier, reason = null } = signed.stages.find((each) => each.stage === stage.stage) ?? stage;
    return { ...stage, tier, reason };
  });
  return { ...check, tier: signed.tier, stages };
}
