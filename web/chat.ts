import type { Digest } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/session/answer-event.ts';

export interface ChatMessage {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

/**
 * An answer's events as the page shows them. Each token brings the text that is certain with it, often none or more
 * than one word; the end brings what was held back. After `rerouted` the texts of the tokens that are kept stand.
 */
export type ChatEvent =
  | Exclude<AnswerEvent, { type: 'token' | 'end' }>
  | (Extract<AnswerEvent, { type: 'token' | 'end' }> & { readonly text: string });

export interface AnswerOptions {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** One conversation with one model. What was answered before is still in the volunteers' memory for a while. */
export interface Chat {
  /** Answers the last message. Throws ChorusError; ends with `cancelled` when the signal aborts. */
  answer(messages: readonly ChatMessage[], options: AnswerOptions): AsyncIterable<ChatEvent>;
  close(): void;
}

export type OpenChat = (model: Digest, signal: AbortSignal) => Promise<Chat>;
