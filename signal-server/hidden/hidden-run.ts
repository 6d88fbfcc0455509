import type { Clock } from '#shared/clock.ts';
import { toChorusError, type ChorusError } from '#shared/errors.ts';
import type { Digest, PeerId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { Config } from '../machine/config.ts';
import type { HiddenWish } from './hidden-plan.ts';
import type { HiddenKind } from './hidden-schedule.ts';
import type { HiddenResult, HiddenWatch } from './hidden-watch.ts';

const SILENT = 'it did not open the session in time';
const SLOW = 'it did not get through the session in time';

/** One hidden session, as it is to be carried out. */
export interface HiddenRun {
  readonly kind: HiddenKind;
  readonly model: Digest;
  /**
   * Called with the key of each requester that it uses, before that asks for anything: for an answer with the target, or for
   * one that anchors make alone.
   */
  readonly onAsker: (id: PeerId, isWithTarget: boolean) => void;
  /** Called with the events of the answer with the target. */
  readonly onEvent: (event: AnswerEvent) => void;
  readonly signal: AbortSignal;
}

/** Carries hidden sessions out: a requester like any other. */
export interface HiddenRunner {
  /** Rejects with a ChorusError where the answer does not come to its end. */
  run(session: HiddenRun): Promise<void>;
}

/** A hidden session that is under way. */
export interface HiddenSession {
  readonly target: PeerId;
  readonly kind: HiddenKind;
  readonly model: Digest;
  readonly role: HiddenWish['role'];
  readonly watch: HiddenWatch;
  /** Milliseconds of a lap that the stages beside the target's take; null before the route is planned. */
  othersMs: number | null;
  /** To be called once its route is planned. */
  onPlanned: () => void;
}

export interface CarryOutDeps {
  readonly runner: HiddenRunner;
  readonly clock: Clock;
  /** The keys in whose name hidden sessions ask now: null for an answer that anchors make alone. */
  readonly askers: Map<PeerId, HiddenSession | null>;
  readonly hidden: Pick<Config['hidden'], 'trialOpenMs' | 'trialMs' | 'sessionMs'>;
}

/**
 * Has one session carried out and says what it came to. A trial ends with its first failure, and has limits from its route
 * on; a later one goes on as any answer would, so that nothing in it tells what it was.
 */
export async function carryOut(
  session: HiddenSession,
  { runner, clock, askers, hidden }: CarryOutDeps,
): Promise<HiddenResult> {
  const { kind, model, watch } = session;
  const aborter = new AbortController();
  const timers: (() => void)[] = [];
  let late: string | null = null;
  const stopAfter = (limitMs: number, fault: string | null, isMet = () => false): void => {
    const end = (): void => {
      if (isMet()) return;
      late = fault;
      aborter.abort();
    };
    timers.push(clock.setTimer(end, limitMs));
  };
  // There for sessions that hang for a reason of our own.
  stopAfter(hidden.sessionMs, null);
  session.onPlanned = () => {
    if (kind !== 'trial') return;
    stopAfter(hidden.trialOpenMs, SILENT, () => watch.isOpen);
    stopAfter(hidden.trialMs, SLOW);
  };
  const own: PeerId[] = [];
  const error = await runner
    .run({
      ...{ kind, model, signal: aborter.signal },
      onAsker: (asker, isWithTarget) => {
        own.push(asker);
        askers.set(asker, isWithTarget ? session : null);
      },
      onEvent: (event) => {
        watch.take(event);
        if (watch.hasFailed && kind === 'trial') aborter.abort();
      },
    })
    .then(() => null)
    .catch((thrown: unknown): ChorusError => toChorusError(thrown));
  timers.forEach((stop) => stop());
  own.forEach((asker) => askers.delete(asker));
  return watch.end(error, late);
}
