import { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import { PROGRESS_PERIOD_MS } from '../../limits.ts';
import type { Route } from '../../route/route.ts';
import type { Awaited } from '../feed/requester-session.ts';
import type { Place, ProgressBoard, ProgressQuestion, Reporter } from './progress-board.ts';
import { SLOW, type Stall } from './session-news.ts';
import { CONTRADICTION } from './told-fault.ts';

/** A timer this late means that this side stood still: what came meanwhile is heard first. */
const LATE_MS = 100;
const GRACE_MS = 50;
/** Where nobody answers at all, this side's own connection is the likelier cause, and is given more time. */
const ALL_SILENT_MS = 1_500;
/** A stage that held the rows for less is not the one that is slow. */
const LEAST_HELD_MS = 200;
/** A peer that only the relay reaches has a link within this time where others have. */
const RELAY_LINK_MS = 1_000;
/** How long nothing is told of volunteers in whose place there are no others: longer each time. */
const FIRST_REST_MS = 1_000;
const MAX_REST_MS = 16_000;
/** Rows that are larger than one position take longer on a link. */
const POSITION_MS = 20;

/** Something that a session waits for. */
export interface Wait {
  readonly sinceMs: number;
  /** Rows on their way round; null for what each replica owes by itself, such as a commit. */
  readonly awaited: Awaited | null;
  /** How long it may take before replicas are asked for their progress, and before one that holds rows is slow. */
  readonly askMs: number;
  readonly limitMs: () => number;
  /** What is told where all answer, of what each replica owes. */
  readonly heldUp?: () => Stall | null;
}

/** What to do now. */
export interface WatchStep {
  /** Asks these for their progress, under this number. */
  readonly ask: ProgressQuestion | null;
  readonly stall: Stall | null;
  /** Shadows that answer nothing. */
  readonly silentShadows: readonly PeerId[];
}

const NOTHING: WatchStep = { ask: null, stall: null, silentShadows: [] };

/**
 * Watches the laps of one session: asks replicas how far they are where one takes long, and says without whom the answer
 * should go on. It tells once, and then waits to be told that the answer does without another route.
 */
export class LapWatch {
  readonly #board: ProgressBoard;
  readonly #route: Route;
  readonly #startedMs: number;
  /** The wait that is watched: the number of rows, or what else is owed; null for none. */
  #watched: string | null = null;
  /** The first and the last question in this wait. */
  #askedFromMs = Infinity;
  #askedMs = -Infinity;
  #heldMs = new Map<number, number>();
  #betweenSinceMs: number | null = null;
  #locatedMs = 0;
  #dueMs = Infinity;
  #graceUntilMs: number | null = null;
  #isTold = false;
  /** Nothing is told before this. */
  #restUntilMs = -Infinity;
  #restMs = FIRST_REST_MS;

  constructor(route: Route, board: ProgressBoard, nowMs: number) {
    this.#route = route;
    this.#board = board;
    this.#startedMs = nowMs;
  }

  /** When `step` is due. */
  get deadlineMs(): number {
    return this.#dueMs;
  }

  /** The answer goes on with these volunteers: they are watched anew. */
  bear(nowMs: number): void {
    this.#isTold = false;
    this.#watched = null;
    this.#restUntilMs = nowMs + this.#restMs;
    this.#restMs = Math.min(MAX_REST_MS, 2 * this.#restMs);
  }

  /** Looks at what is waited for, if anything is. To be called after whatever happens, and at `deadlineMs`. */
  step(wait: Wait | null, nowMs: number): WatchStep {
    const isLate = nowMs - this.#dueMs > LATE_MS;
    if (wait === null || this.#isTold) {
      this.#watched = null;
      this.#dueMs = Infinity;
      return NOTHING;
    }
    const { sinceMs } = wait;
    this.#begin(`${wait.awaited?.sequence ?? 'owed'} ${sinceMs}`, sinceMs);
    const askFromMs = Math.max(sinceMs + wait.askMs, this.#restUntilMs);
    if (nowMs < askFromMs) {
      this.#dueMs = askFromMs;
      return NOTHING;
    }
    if (isLate && this.#graceUntilMs === null) this.#graceUntilMs = nowMs + GRACE_MS;
    const ask = nowMs >= this.#askedMs + PROGRESS_PERIOD_MS ? this.#askAll(nowMs) : null;
    const isGrace = nowMs < (this.#graceUntilMs ?? -Infinity);
    const stall = isGrace ? null : this.#judge(wait, nowMs);
    const silentShadows = isGrace || stall !== null ? [] : this.#silentShadows(nowMs);
    this.#isTold = stall !== null;
    this.#dueMs = this.#isTold ? Infinity : this.#nextMs(sinceMs + wait.limitMs(), nowMs);
    return { ask, stall, silentShadows };
  }

  #begin(watched: string, sinceMs: number): void {
    if (this.#watched === watched) return;
    this.#watched = watched;
    this.#askedFromMs = Infinity;
    this.#heldMs = new Map();
    this.#betweenSinceMs = null;
    this.#locatedMs = sinceMs;
    this.#graceUntilMs = null;
  }

  #nextMs(limitMs: number, nowMs: number): number {
    const dueMs = [
      this.#askedMs + PROGRESS_PERIOD_MS,
      this.#board.nextSilentMs(nowMs),
      limitMs,
      this.#graceUntilMs ?? 0,
    ];
    return Math.min(...dueMs.filter((due) => due > nowMs));
  }

  #askAll(nowMs: number): WatchStep['ask'] {
    this.#askedMs = nowMs;
    this.#askedFromMs = Math.min(this.#askedFromMs, nowMs);
    return this.#board.ask(this.#board.all, nowMs);
  }

  #judge({ sinceMs, awaited, limitMs, heldUp }: Wait, nowMs: number): Stall | null {
    // A replica that answered since shows that this side is heard and hears.
    const isHeard = this.#board.hasAnswered(this.#askedFromMs);
    const silent = this.#silent('primary', nowMs).map(({ stage }) => stage);
    if (!isHeard) {
      const isLong = nowMs - this.#askedFromMs >= ALL_SILENT_MS;
      return isLong && silent.length > 0 ? this.#silence(silent, nowMs) : null;
    }
    if (awaited === null) return silent.length > 0 ? this.#silence(silent, nowMs) : (heldUp?.() ?? null);
    const place = this.#board.locate(awaited.sequence, this.#askedFromMs, nowMs);
    this.#track(place, nowMs);
    const isOver = nowMs - sinceMs >= limitMs();
    const leastMs = Math.max(LEAST_HELD_MS, 2 * this.#board.distanceMs);
    switch (place.type) {
      case 'silent':
        // Others that are silent would be the next to be waited for.
        return this.#silence([...new Set([place.stage, ...silent])], nowMs);
      case 'left':
        return this.#stall('unclear', [place.stage]);
      case 'between': {
        const isLong = nowMs - this.#betweenSinceMs! >= leastMs + POSITION_MS * awaited.count;
        return isOver && isLong ? this.#stall('unclear', place.stages) : null;
      }
      case 'held': {
        const [stage, heldMs] = [...this.#heldMs].reduce((a, b) => (b[1] > a[1] ? b : a));
        return isOver && heldMs >= leastMs ? this.#stall('slow', [stage]) : null;
      }
      case 'unclear':
        return null;
    }
  }

  /** Adds the time since the last look to the stage that has the rows; time in which nobody knew is nobody's. */
  #track(place: Place, nowMs: number): void {
    if (place.type === 'held') {
      this.#heldMs.set(place.stage, (this.#heldMs.get(place.stage) ?? 0) + nowMs - this.#locatedMs);
    }
    this.#locatedMs = nowMs;
    this.#betweenSinceMs = place.type === 'between' ? (this.#betweenSinceMs ?? nowMs) : null;
  }

  /** Replicas that answer nothing, or that the relay should have reached long ago. */
  #silent(role: Reporter['role'], nowMs: number): Reporter[] {
    const isByRelay = ({ webrtc }: Reporter): boolean => !webrtc || !this.#route.requester.webrtc;
    const isLate = nowMs - this.#startedMs >= RELAY_LINK_MS;
    return this.#board.all.filter((each) => {
      const isSilent = each.isLinked ? this.#board.isSilent(each, nowMs) : isLate && isByRelay(each) && !each.wasLinked;
      return each.role === role && isSilent;
    });
  }

  #silentShadows(nowMs: number): PeerId[] {
    if (!this.#board.hasAnswered(this.#askedFromMs)) return [];
    const silent = this.#silent('shadow', nowMs).filter(({ isLeft }) => !isLeft);
    for (const { id } of silent) this.#board.leave(id);
    return silent.map(({ id }) => id);
  }

  /** Shadows that are silent too are no better in the place of these. */
  #silence(stages: readonly number[], nowMs: number): Stall {
    const stall = this.#stall('silent', stages);
    return { ...stall, volunteers: [...stall.volunteers, ...this.#silent('shadow', nowMs).map(({ id }) => id)] };
  }

  #stall(why: Stall['why'], stages: readonly number[]): Stall {
    const volunteers = stages.map((stage) => this.#route.stages[stage]!.primary.id);
    return {
      why,
      volunteers,
      error: new ChorusError('timeout', why === 'unclear' && stages.length > 1 ? CONTRADICTION : WORDS[why]),
    };
  }
}

const WORDS: Readonly<Record<Stall['why'], string>> = {
  silent: 'a volunteer does not answer',
  slow: SLOW,
  unclear: 'a volunteer passes nothing on',
};
