import type { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { SignedReceipt } from '#shared/receipt/build/make-receipt.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { ChatMessage } from '#shared/text/model-text.ts';
import type { EndReason } from '../../conversations/kept-conversation.ts';

export type { ChatMessage };

/** A receipt that this page made of an answer. Without a proof it is not in the log. */
export interface MadeReceipt extends SignedReceipt {
  /** Digest of its model's manifest. */
  readonly manifest: Digest;
}

/** How making a receipt ended: `error` says why there is none, or why the one there is is not in the log. */
export interface ReceiptOutcome {
  readonly receipt: MadeReceipt | null;
  readonly error: ChorusError | null;
}

/**
 * An answer's events as the page shows them. Each token brings the text that is certain with it, often none or more
 * than one word; the end brings what was held back. After `rerouted` the texts of the tokens that are kept stand.
 * After `end` comes `receipt`, where `hasEvidence` says that there will be one, and before it `signed`, where it could be
 * signed: what is there to be kept while the log is waited for.
 */
export type ChatEvent =
  | Exclude<AnswerEvent, { type: 'token' | 'end' }>
  | (Extract<AnswerEvent, { type: 'token' }> & { readonly text: string })
  | (Omit<Extract<AnswerEvent, { type: 'end' }>, 'evidence' | 'reason'> & {
      readonly reason: EndReason;
      readonly text: string;
      readonly hasEvidence: boolean;
    })
  | { readonly type: 'signed'; readonly receipt: MadeReceipt }
  | ({ readonly type: 'receipt' } & ReceiptOutcome);

export interface SamplingWishes {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  /** Null: a new one for each answer. */
  readonly seed: number | null;
}

export interface AnswerOptions extends SamplingWishes {
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** One conversation with one model. Earlier answers stay in the volunteers' memory for a while. */
export interface Chat {
  /** Answers the last message. Throws ChorusError; ends with `cancelled` when the signal aborts. */
  answer(messages: readonly ChatMessage[], options: AnswerOptions): AsyncIterable<ChatEvent>;
  /** Gives the volunteers' memory back. A receipt that is being made is made all the same. */
  close(): void;
}

export type OpenChat = (model: Digest, signal: AbortSignal) => Promise<Chat>;
