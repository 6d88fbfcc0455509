import { ChorusError, type ErrorCode } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { Release } from '../requester-event.ts';
import type { SessionLost, SessionNews } from '../session/session-news.ts';
import { CONTRADICTION, LINK_LOST } from '../session/told-fault.ts';

const LATENESS = new Set<ErrorCode>(['timeout', 'link-lost']);

/** Why a session ends over a difference that stays. */
export const UNSETTLED = 'two replicas differ, and nobody could settle it';

/** Why an answer leaves its session, and whom it leaves out. */
export interface SessionLoss {
  readonly error: ChorusError;
  readonly blamed: readonly PeerId[];
  /** True where something shows that they failed: they are left out for a while, and else for this answer. */
  readonly isShown: boolean;
  /** True where that is no more than that they were late, or lost. */
  readonly isLate: boolean;
  /** For the server, of volunteers that are only lost: the tokens are kept to be drawn again. Null after a failed check. */
  readonly faults: Release['faults'] | null;
}

/** A stage lost the one who checked it. */
export function lossOfBare({ shadow, partner, isShown, isLate }: Extract<SessionNews, { type: 'bare' }>): SessionLoss {
  const [text, blamed] =
    partner === null ? ['a stage lost the replica that checked it', [shadow]] : [CONTRADICTION, [shadow, partner]];
  return { error: new ChorusError('check-failed', text), blamed, isShown, isLate, faults: [] };
}

/** A check broke, or a primary is gone that it needed. */
export function lossOfBroken(news: Extract<SessionNews, { type: 'broken' }>): SessionLoss {
  const { blamed, disputed, isLoss, isShown } = news;
  if (isLoss) {
    return { error: new ChorusError('link-lost', LINK_LOST), blamed, isShown: true, isLate: true, faults: [] };
  }
  const single = blamed.length > 1 || !isShown ? CONTRADICTION : 'a replica failed the check';
  return {
    error: new ChorusError('check-failed', disputed === null ? single : UNSETTLED),
    ...{ blamed, isShown, isLate: false, faults: null },
  };
}

/** Volunteers whose words on others have ended sessions. */
export class Tellers {
  readonly #known = new Set<PeerId>();

  /** The loss of a session, by what its end came from. A volunteer that blames one after another is as likely the cause. */
  lossOf({ error, told, isDoubt = false, ...lost }: SessionLost): SessionLoss {
    const isOften = told !== undefined && this.#known.has(told);
    if (told !== undefined) this.#known.add(told);
    const blamed = isOften ? [...lost.blamed, told] : lost.blamed;
    // A time-out without a known cause is reported as nobody's fault.
    const faults = blamed.length === 1 ? [{ volunteer: blamed[0]!, code: error.code }] : [];
    return { error, blamed, isShown: !isDoubt, isLate: !isDoubt && LATENESS.has(error.code), faults };
  }
}
