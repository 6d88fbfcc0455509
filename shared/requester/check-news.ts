import type { PeerId } from '../ids.ts';
import type { SpanCheck } from '../judge/finding.ts';
import type { AnswerEvent } from './answer-event.ts';
import type { FoundFault } from './found-fault.ts';
import type { SessionEffect } from './requester-event.ts';

/** A shadow that is gone, with whom nobody checks its stage any more; `partner` is whom it contradicts. */
export interface BareStage {
  readonly shadow: PeerId;
  readonly partner: PeerId | null;
}

/** What the check of a session means for the answer. */
export type CheckNews =
  | { readonly type: 'checked'; readonly check: SpanCheck }
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
  | { readonly type: 'broken'; readonly blamed: readonly PeerId[]; readonly disputed: SpanCheck | null };

export type CheckEffect = SessionEffect | CheckNews;
