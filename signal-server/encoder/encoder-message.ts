import type { ErrorCode } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { Prompt, PromptSource } from '#shared/text/prompt.ts';

/** The files that a model's text is read with. */
export interface TokenizerFiles {
  readonly tokenizer: Uint8Array<ArrayBuffer>;
  readonly config: Uint8Array<ArrayBuffer>;
}

/** A prompt to be read. */
export interface EncoderRequest {
  readonly model: Digest;
  /** Null where the thread has had them. */
  readonly files: TokenizerFiles | null;
  /** A prompt in pieces, or what is to become one. */
  readonly source: PromptSource | Prompt;
  /** The most tokens that it may have. */
  readonly most: number;
}

/** A prompt that was read. */
export interface EncodedPrompt {
  readonly prompt: Prompt;
  readonly tokens: readonly number[];
}

export type EncoderReply =
  | ({ readonly type: 'encoded' } & EncodedPrompt)
  | { readonly type: 'failure'; readonly code: ErrorCode; readonly message: string };
