import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import type { Prompt, PromptSource } from '#shared/text/prompt.ts';
import type { EncodedPrompt } from '../encoder/encoder-message.ts';

/** A model's text in the server's process: tokens become text here, prompts become tokens in a thread of their own. */
export interface GatewayText extends Pick<ModelText, 'decode' | 'createWriter'> {
  /** Rejects as `EncoderThread.encode` does. */
  encode(source: PromptSource, most: number): Promise<EncodedPrompt>;
  encodePrompt(prompt: Prompt): Promise<readonly number[]>;
}

export interface GatewayModel {
  readonly name: string;
  readonly digest: Digest;
  readonly createdSeconds: number;
  readonly manifest: Manifest;
  readonly text: GatewayText;
}

/** The models that the gateway offers. */
export interface GatewayModels {
  list(): readonly Pick<GatewayModel, 'name' | 'createdSeconds' | 'manifest'>[];
  /** Null if there is none of this name. */
  open(name: string): Promise<GatewayModel | null>;
}
