import type { Clock, RandomBytes } from '../clock.ts';
import type { VerifySignature } from '../crypto/identity.ts';
import type { Digest } from '../ids.ts';
import type { Manifest } from '../model/manifest.ts';
import type { AnswerEvent, GenerateRequest } from '../session/answer-event.ts';
import type { ControlClient } from './control-client.ts';
import type { Links } from './link.ts';

export interface RequesterDeps {
  readonly control: ControlClient;
  readonly links: Links;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly verify: VerifySignature;
  /** False where only the relay reaches this peer. */
  readonly webrtc: boolean;
}

export interface ConversationOptions {
  /** Shadows wished for each stage; 0 where left out. */
  readonly shadows?: number;
  /** Fewest stages; the model's own minimum where left out. */
  readonly minStages?: number;
}

/** Opens conversations with models that the network serves. */
export declare class Requester {
  constructor(deps: RequesterDeps);
  openConversation(model: { manifest: Manifest; digest: Digest }, options?: ConversationOptions): Conversation;
  close(): void;
}

/** One chat: one session at a time, kept between answers so that only new tokens are sent. */
export declare class Conversation {
  /**
   * Makes one answer. Throws ChorusError: `too-long`, `no-coverage`, `all-busy`, `too-few-volunteers`, `unknown-model`,
   * `server-lost`, `timeout`, `link-lost`. An abort of `signal` ends it with reason `cancelled`; so does leaving the loop.
   */
  generate(request: GenerateRequest & { readonly signal: AbortSignal }): AsyncGenerator<AnswerEvent, void, undefined>;
  /** Gives the session back. */
  close(): void;
}
