import type { ReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import type { Prompt } from '#shared/text/prompt.ts';

/** What a reader has of an answer, beside its receipt. */
export interface AnswerAtHand {
  readonly salt?: Uint8Array<ArrayBuffer>;
  /** Of prompt and answer; without them, those that the texts encode to. */
  readonly tokens?: readonly number[];
  readonly prompt?: string;
  readonly pieces?: Prompt;
  readonly answer?: string;
}

/** Secrets of a receipt, and the text of its answer where that is there. */
export function atHandOf(secrets: ReceiptSecrets, answer: string | null): AnswerAtHand {
  const { salt, tokens, prompt, pieces } = secrets;
  return {
    salt,
    tokens,
    ...(prompt !== null && { prompt }),
    ...(pieces !== null && { pieces }),
    ...(answer !== null && { answer }),
  };
}
