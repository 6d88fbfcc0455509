import { countTiers, lowestTier } from '../../judge/finding.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Answer } from './answer.ts';

/**
 * The material of a complete answer, as its session has it: the tokens that were fed, not those that were asked for. Taken
 * at the last verdict; the session may be gone before the replicas' records are all there.
 */
export class EvidenceDraft {
  readonly salt: Uint8Array<ArrayBuffer>;
  readonly #session: LiveSession;
  readonly #made: Omit<Evidence, 'attestations' | 'faults' | 'finishedAtMs' | 'record'>;

  /** `salt` is random, and for this answer alone. Every position of the session has its verdict. */
  constructor(session: LiveSession, answer: Answer, salt: Uint8Array<ArrayBuffer>) {
    this.salt = salt;
    this.#session = session;
    const { route, envelope, tokens, runs, anchor, ...account } = session.account;
    const spans = account.spans.map((span) => answer.lowered(span));
    const tiers = spans.map(({ tier }) => tier);
    this.#made = {
      route,
      envelope,
      salt,
      // The last token was drawn, and need not have been fed.
      tokens: [...tokens, ...answer.history.slice(tokens.length)],
      promptTokens: answer.promptLength,
      sampling: { ...answer.sampling },
      maxNewTokens: answer.maxNewTokens,
      anchor,
      positions: tokens.length,
      runs,
      spans,
      tier: lowestTier(tiers),
      counts: countTiers(tiers),
      startedAtMs: answer.startedAtMs,
    };
  }

  /** True while records may still come. */
  get isOpen(): boolean {
    return this.#session.isRecording;
  }

  finish({ faults }: Answer, finishedAtMs: number): Evidence {
    const { attestations, recordNumber: record } = this.#session;
    return { ...this.#made, record, faults: [...faults], attestations, finishedAtMs };
  }
}
