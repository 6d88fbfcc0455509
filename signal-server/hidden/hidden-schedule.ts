import type { PeerId } from '#shared/ids.ts';

/** The one before a volunteer's first work is a trial; those after it come at times by chance. */
export type HiddenKind = 'trial' | 'later';

export interface HiddenTimes {
  /** Mean time between two later sessions of one volunteer. */
  readonly meanMs: number;
  /** Mean time from a complaint to the session that it brings. */
  readonly complaintMeanMs: number;
  /** How long a volunteer that failed is left alone, doubled with each failure in a row. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** How long until one is asked again that neither passed nor failed. */
  readonly againMs: number;
  /** Trials at once: one that says nothing must not keep the others waiting. */
  readonly trialsAtOnce: number;
  /** The part of the time that later sessions may take, over 0 and at most 1. */
  readonly share: number;
}

export type HiddenOutcome = 'passed' | 'failed' | 'unclear';

interface Entry {
  /** Of its address. */
  readonly prefix: string;
  isTried: boolean;
  /** Classes whose distance has to be measured are asked twice as often. */
  isDistant: boolean;
  dueMs: number;
  /** Not before this, whatever is due: set by failures, and by complaints that were followed up. */
  notBeforeMs: number;
}

/** Keys whose failures are remembered after they left. */
const MAX_REMEMBERED = 10_000;
/** Complaints of one volunteer bring at most one session in so many mean times. */
const COMPLAINT_REST = 4;

/**
 * Says which volunteer is asked next, and when. Holds no clock and no timer: times come with each call, chance as numbers in
 * [0, 1). Later sessions never run two at once, never while somebody waits for a route, and take no more than their share
 * of the time; so complaints cannot make the anchors busy.
 */
export class HiddenSchedule {
  readonly #times: HiddenTimes;
  readonly #chance: () => number;
  readonly #entries = new Map<PeerId, Entry>();
  /** Failures in a row, and when the next trial may be; kept for keys that leave and come back. */
  readonly #failures = new Map<PeerId, { count: number; untilMs: number }>();
  /** When the next complaint of a volunteer counts again. */
  readonly #heardUntil = new Map<PeerId, number>();
  readonly #running = new Map<PeerId, { kind: HiddenKind; prefix: string; sinceMs: number }>();
  #laterNotBeforeMs = -Infinity;

  constructor(times: HiddenTimes, chance: () => number) {
    this.#times = times;
    this.#chance = chance;
  }

  /** A volunteer holds a stage that it has not been tried in. */
  ready(id: PeerId, prefix: string, isDistant: boolean, nowMs: number): void {
    const notBeforeMs = this.#failures.get(id)?.untilMs ?? -Infinity;
    this.#entries.set(id, { prefix, isTried: false, isDistant, dueMs: nowMs, notBeforeMs });
  }

  /** It holds no stage any more, or is not here. */
  gone(id: PeerId): void {
    this.#entries.delete(id);
    this.#heardUntil.delete(id);
  }

  /** How long a volunteer is left alone for what it failed, in monotonic milliseconds; null where it is not. */
  restsUntilMs(id: PeerId, nowMs: number): number | null {
    const untilMs = this.#failures.get(id)?.untilMs ?? -Infinity;
    return untilMs > nowMs ? untilMs : null;
  }

  /** What it failed was not its fault: it is tried as if that had not been. */
  forgive(id: PeerId): void {
    this.#failures.delete(id);
  }

  /**
   * Somebody complains of a volunteer. The session that this brings comes after a time by chance that has no memory, so it
   * looks like any other; complaints until then, and for a while after, bring nothing more.
   */
  complained(id: PeerId, nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry?.isTried !== true || (this.#heardUntil.get(id) ?? -Infinity) > nowMs) return;
    this.#heardUntil.set(id, nowMs + COMPLAINT_REST * this.#times.complaintMeanMs);
    entry.dueMs = Math.min(entry.dueMs, nowMs + this.#drawn(this.#times.complaintMeanMs));
  }

  /**
   * The next session to begin now; null if there is none. `isBusy`: somebody waits for a route; `canBegin`: anchors are free
   * for one with this volunteer.
   */
  next(
    nowMs: number,
    isBusy: boolean,
    canBegin: (id: PeerId) => boolean,
  ): { readonly id: PeerId; readonly kind: HiddenKind } | null {
    const due = [...this.#entries]
      .filter(([id, { dueMs, notBeforeMs }]) => dueMs <= nowMs && notBeforeMs <= nowMs && !this.#running.has(id))
      .sort(([, a], [, b]) => a.dueMs - b.dueMs);
    const running = [...this.#running.values()];
    const trials = running.filter(({ kind }) => kind === 'trial');
    // Many keys of one network, or keys that failed before, do not keep others waiting.
    const failed = (id: PeerId): number => this.#failures.get(id)?.count ?? 0;
    const near = (prefix: string): number => trials.filter((other) => other.prefix === prefix).length;
    const trial = due
      .filter(([, { isTried }]) => !isTried)
      .sort(([a, { prefix: one }], [b, { prefix: other }]) => failed(a) - failed(b) || near(one) - near(other))
      .find(([id]) => canBegin(id));
    if (trial !== undefined && trials.length < this.#times.trialsAtOnce) return { id: trial[0], kind: 'trial' };
    const mayBeLater = !isBusy && this.#laterNotBeforeMs <= nowMs && running.every(({ kind }) => kind === 'trial');
    const later = mayBeLater ? due.find(([id, { isTried }]) => isTried && canBegin(id)) : undefined;
    return later === undefined ? null : { id: later[0], kind: 'later' };
  }

  began(id: PeerId, kind: HiddenKind, nowMs: number): void {
    this.#running.set(id, { kind, prefix: this.#entries.get(id)?.prefix ?? '', sinceMs: nowMs });
  }

  ended(id: PeerId, outcome: HiddenOutcome, nowMs: number): void {
    const { kind, sinceMs } = this.#running.get(id) ?? { kind: 'trial' as const, sinceMs: nowMs };
    this.#running.delete(id);
    if (kind === 'later') this.#laterNotBeforeMs = nowMs + (nowMs - sinceMs) * (1 / this.#times.share - 1);
    const entry = this.#entries.get(id);
    if (outcome === 'failed') this.#fail(id, entry, nowMs);
    else if (entry === undefined) return;
    else if (outcome === 'unclear') {
      entry.dueMs = nowMs + (entry.isTried ? this.#drawn(this.#times.meanMs / 4) : this.#times.againMs);
    } else {
      this.#failures.delete(id);
      entry.isTried = true;
      entry.dueMs = nowMs + this.#drawn(this.#times.meanMs / (entry.isDistant ? 2 : 1));
    }
  }

  #fail(id: PeerId, entry: Entry | undefined, nowMs: number): void {
    const count = (this.#failures.get(id)?.count ?? 0) + 1;
    const { backoffMs, maxBackoffMs } = this.#times;
    const untilMs = nowMs + Math.min(maxBackoffMs, backoffMs * 2 ** (count - 1));
    this.#failures.delete(id);
    this.#failures.set(id, { count, untilMs });
    for (const [oldest] of this.#failures) {
      if (this.#failures.size <= MAX_REMEMBERED) break;
      this.#failures.delete(oldest);
    }
    if (entry === undefined) return;
    entry.isTried = false;
    entry.dueMs = untilMs;
    entry.notBeforeMs = untilMs;
  }

  /** A time by chance of this mean, that has no memory: what has been waited already says nothing of what is left. */
  #drawn(meanMs: number): number {
    return -meanMs * Math.log(1 - this.#chance());
  }
}
