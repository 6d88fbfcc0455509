import type { Clock } from '#shared/clock.ts';
import type { PeerId } from '#shared/ids.ts';
import { MAX_REASON_CHARACTERS, PROBATION_CHUNKS } from '#shared/limits.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import type { Member, Registry } from '../placement/registry.ts';
import type { Gate } from '../routing/candidate.ts';
import type { Standing } from '../trust/trust.ts';

type StandingMessage = Extract<ServerMessage, { type: 'standing' }>;

/** Mean time from the end of a session to the news that it brings. */
const NEWS_MEAN_MS = 20_000;
/** The part of sessions that bring news. */
const NEWS_SHARE = 0.5;

const TRYING = 'the server tries this device with a few tokens before it gives it work';
const HINT =
  'A tab that stays in front, on a device that is not busy, passes; if numbers are the reason, try the processor instead of the graphics device.';
const HINT_HIDDEN =
  'Nothing is held against it: browsers slow down tabs that nobody looks at. Bring this tab to the front.';

export interface StandingDeskDeps {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly chance: () => number;
  readonly registry: Pick<Registry, 'get'>;
  /** What the key has behind it in this class. */
  readonly spansOf: (id: PeerId, numericClass: string) => Spans;
  readonly gateOf: (member: Member) => Gate;
  /** As of `HiddenDesk`. */
  readonly failureOf: (id: PeerId) => { readonly reason: string; readonly untilMs: number } | null;
  /** The last failure that is held against the key, also of a time before the server started; null if there is none. */
  readonly lastFault: (id: PeerId) => { readonly reason: string } | null;
  readonly send: (to: Member, message: StandingMessage) => void;
}

/** Spans of a key: those that the server saw to be right, and those in which it merely agreed with others. */
export type Spans = Pick<Standing, 'witnessedSpans' | 'agreedSpans'>;

interface News {
  /** What was true when its last session ended. */
  known: Spans;
  /** What it is to be told, and when; null while there is nothing. */
  due: { readonly atMs: number; readonly spans: Spans } | null;
  /** What it was told last; the network's snapshot says no more. */
  shown: Spans;
}

const NO_SPANS: Spans = { witnessedSpans: 0, agreedSpans: 0 };

/**
 * Tells volunteers how they stand. What it says of spans is late by one session at least, and comes after half of all
 * sessions, so that it does not tell which of them was the server's own.
 */
export class StandingDesk {
  readonly #deps: StandingDeskDeps;
  readonly #news = new Map<PeerId, News>();

  constructor(deps: StandingDeskDeps) {
    this.#deps = deps;
  }

  /** Spans of this volunteer as it knows them, which is all that anybody is to know. */
  shown(id: PeerId): Spans {
    return this.#news.get(id)?.shown ?? this.#spansOf(id) ?? NO_SPANS;
  }

  /** A session with these volunteers has ended, whoever asked for it. */
  worked(ids: readonly PeerId[]): void {
    const { chance, clock } = this.#deps;
    for (const id of ids) {
      const spans = this.#spansOf(id);
      if (spans === null) continue;
      const news = this.#newsOf(id, spans);
      if (news.due === null && chance() < NEWS_SHARE) {
        const atMs = clock.nowMs() - NEWS_MEAN_MS * Math.log(1 - chance());
        news.due = { atMs, spans: news.known };
      }
      news.known = spans;
    }
  }

  /** Tells it at once: of what everybody knows, or of what it has been found out in. */
  tell(id: PeerId): void {
    const { registry, send } = this.#deps;
    const member = registry.get(id);
    const spans = this.#spansOf(id);
    if (member === undefined || spans === null) return;
    const { shown } = this.#newsOf(id, spans);
    const neededSpans = PROBATION_CHUNKS;
    send(member, {
      ...{ type: 'standing', ...this.#wordsFor(member) },
      ...{ spans: Math.min(neededSpans, shown.witnessedSpans), neededSpans },
    });
  }

  /** Tells what has become due, and forgets who left. To be called about once a second. */
  tick(): void {
    const nowMs = this.#deps.clock.nowMs();
    for (const [id, news] of this.#news) {
      if ((this.#deps.registry.get(id)?.volunteer ?? null) === null) this.#news.delete(id);
      else if (news.due !== null && news.due.atMs <= nowMs) {
        news.shown = news.due.spans;
        news.due = null;
        this.tell(id);
      }
    }
  }

  /** Null if it is no volunteer. */
  #spansOf(id: PeerId): Spans | null {
    const volunteer = this.#deps.registry.get(id)?.volunteer ?? null;
    if (volunteer === null) return null;
    const { witnessedSpans, agreedSpans } = this.#deps.spansOf(id, volunteer.offer.numericClass);
    return { witnessedSpans, agreedSpans };
  }

  /** One that comes, or comes back, is told what it has now. */
  #newsOf(id: PeerId, spans: Spans): News {
    const news = this.#news.get(id) ?? { known: spans, due: null, shown: spans };
    this.#news.set(id, news);
    return news;
  }

  /** Why a key's probation began anew; null where it did not, or is over. */
  #whyNew(id: PeerId): string | null {
    const fault = this.#deps.lastFault(id);
    if (fault === null || this.shown(id).witnessedSpans >= PROBATION_CHUNKS) return null;
    return `its probation began anew: in a session that the server asked for itself, ${fault.reason}`.slice(
      0,
      MAX_REASON_CHARACTERS,
    );
  }

  #wordsFor(member: Member): Pick<StandingMessage, 'gate' | 'reason' | 'untilMs'> {
    const { clock, failureOf, gateOf } = this.#deps;
    const gate = gateOf(member);
    if (gate === 'open') return { gate, reason: this.#whyNew(member.id), untilMs: null };
    if (gate === 'trial') return { gate, reason: TRYING, untilMs: null };
    const failure = failureOf(member.id);
    const hint = member.volunteer?.isHidden === true ? HINT_HIDDEN : HINT;
    const reason = `in a session that the server asked for itself, ${failure?.reason ?? 'it failed'}. ${hint}`;
    const untilMs = failure === null ? null : Math.round(clock.wallMs() + failure.untilMs - clock.nowMs());
    return { gate, reason: reason.slice(0, MAX_REASON_CHARACTERS), untilMs };
  }
}
