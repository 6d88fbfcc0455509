import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { ChatMessage } from './answer-request.ts';

/** Text to tokens and back, as one model does it. */
export interface ModelText {
  /** The conversation through the model's chat template, ready for its answer. */
  encodeChat(messages: readonly ChatMessage[]): number[];
  encode(text: string): number[];
  /** Turns one answer's tokens into text. */
  createWriter(stop: readonly string[]): TextWriter;
}

export interface TextWriter {
  /** The text that is certain with this token: no half characters, nothing that may yet be part of a stop string. */
  push(token: number): string;
  /** True once a stop string has come; what it returned ends before it. */
  readonly isStopped: boolean;
  /** What was held back, once no token follows. */
  end(): string;
}

export interface GatewayModel {
  readonly name: string;
  readonly digest: Digest;
  readonly createdSeconds: number;
  readonly manifest: Manifest;
  readonly text: ModelText;
}

/** The models that the gateway offers. */
export interface GatewayModels {
  list(): readonly Pick<GatewayModel, 'name' | 'createdSeconds'>[];
  /** Null if there is none of this name. */
  open(name: string): Promise<GatewayModel | null>;
}
