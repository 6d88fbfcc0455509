import type { Question, Reply } from '../../ask.ts';
import type { ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { CheckFailure, SpanCheck } from '../../judge/finding.ts';
import type { Span } from '../../judge/statement.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { HopTiming } from '../../wire/peer-message.ts';
import type { AnswerEvent } from '../answer-event.ts';
import type { BareStage } from '../audit/session-verdicts.ts';
import type { TokenRedraw } from '../audit/span-audit.ts';
import type { Lap } from '../feed/returns.ts';
import type { FoundFault } from '../found-fault.ts';
import type { SessionEffect } from '../requester-event.ts';

/** The session cannot go on; `blamed` are those who may be why. */
export interface SessionLost {
  readonly type: 'lost';
  readonly error: ChorusError;
  readonly blamed: readonly PeerId[];
  /** The volunteer that says so of others. */
  readonly told?: PeerId;
  /** True where one of those blamed is wrong, and nothing tells which. */
  readonly isDoubt?: boolean;
}

/** What is said of volunteers that are slow. */
export const SLOW = 'a volunteer takes longer than it was measured to';

/** A word that a replica owed and did not give, although it needs no compute and its page answers. */
export interface Withheld {
  readonly volunteer: PeerId;
  readonly stage: number;
  readonly role: 'primary' | 'shadow';
  readonly code: CheckFailure;
  readonly span: Span;
}

/** Volunteers without whom the answer should go on. Nobody is held to be at fault but who withholds a word. */
export interface Stall {
  /** `silent`: they answer nothing; `slow`: they have what the answer waits for; `unclear`: they contradict each other, or left. */
  readonly why: 'silent' | 'slow' | 'unclear';
  /** True where tokens come as before, and only a verdict waits. */
  readonly goesOn?: boolean;
  readonly volunteers: readonly PeerId[];
  readonly withheld?: readonly Withheld[];
  readonly error: ChorusError;
}

/** News of a session, or of its check, as far as it matters to the answer. */
export type SessionNews =
  /** Every stage is open. */
  | { readonly type: 'opened' }
  /** Something came back; null if it is of no use but that there is room for more. */
  | { readonly type: 'lap'; readonly lap: Lap | null; readonly hops: readonly HopTiming[] }
  | SessionLost
  /** Told once, until `bear`: the session goes on as well as it can. */
  | ({ readonly type: 'stalled' } & Stall)
  | { readonly type: 'checked'; readonly check: SpanCheck }
  /** Another replica's draw goes on: the session is to be cut back to it. Comes before the verdict that ends there. */
  | { readonly type: 'redrawn'; readonly redraw: TokenRedraw }
  | Extract<AnswerEvent, { type: 'settling' }>
  /** The difference is settled; the answer may go on. */
  | { readonly type: 'settled' }
  | { readonly type: 'fault'; readonly fault: FoundFault }
  /** Comes before the first verdict that is the worse for it, and after the settling of any difference. */
  | ({ readonly type: 'bare' } & BareStage)
  /** One of these is wrong, and nothing tells which; the session goes on without the shadow. */
  | { readonly type: 'doubted'; readonly between: readonly PeerId[] }
  /** The replicas' records are there, as far as they came in time. */
  | { readonly type: 'recorded' }
  /** The session is of no use: nothing that it gave after the last verdict counts. */
  | {
      readonly type: 'broken';
      readonly blamed: readonly PeerId[];
      readonly disputed: SpanCheck | null;
      /** True where something shows that they failed: a proof, a referee, or what they sent themselves. */
      readonly isShown: boolean;
      /** A primary is only gone: what it gave may be drawn from again, by others. */
      readonly isLoss: boolean;
    };

/** The tokens and runs that a session was fed, and the verdicts on them. */
export type SessionAccount = Pick<Evidence, 'route' | 'envelope' | 'tokens' | 'runs' | 'spans' | 'anchor'>;

/** A question in the name of a session, which hears the reply as long as it is there. */
export interface SessionAsk {
  readonly type: 'ask';
  readonly what: Question;
  readonly then: (reply: Reply) => void;
}

/** Everything that a session gives out, in order. */
export type SessionOut = SessionEffect | SessionAsk | SessionNews;

const EFFECTS: Readonly<Record<SessionEffect['type'], true>> = {
  connect: true,
  send: true,
  'request-replay': true,
  claims: true,
  rest: true,
  release: true,
};

/** True for an effect, which is to be done; false for news. */
export function isEffect(out: SessionOut): out is SessionEffect {
  return Object.hasOwn(EFFECTS, out.type);
}
