import type { PeerId } from '../ids.ts';
import type { HopTiming } from '../wire/peer-message.ts';
import type { Route } from './route.ts';
import type { Sampling } from './sampler.ts';

/** One of the requester's own links to the ends of its route. */
export interface RouteLink {
  readonly stage: number;
  readonly transport: 'webrtc' | 'relay';
  readonly roundTripMs: number | undefined;
}

/** What one generation asks for. */
export interface GenerateRequest {
  /** The whole history, prompt and earlier answers; what the session already holds of it is not sent again. */
  readonly promptTokens: readonly number[];
  readonly maxNewTokens: number;
  readonly sampling: Sampling;
}

/** What an answer reports while it is made, in order. The last one is `end`, unless it fails with a ChorusError. */
export type AnswerEvent =
  /** The server has the request but no free volunteers for it; `position` 1 is next. */
  | { readonly type: 'queued'; readonly position: number }
  /** Every stage of the route is open. */
  | { readonly type: 'routed'; readonly route: Route; readonly links: readonly RouteLink[] }
  /** Positions of the prompt that every stage has taken in, `total` of them to come in all. */
  | { readonly type: 'prompt'; readonly done: number; readonly total: number }
  | {
      readonly type: 'token';
      readonly token: number;
      /** Natural logarithm of the model's own probability, before temperature and top_p. */
      readonly logprob: number;
      /** Index of the token in the whole history. */
      readonly position: number;
      readonly lapMs: number;
      readonly hops: readonly HopTiming[];
    }
  /** The answer goes on over another route; the tokens so far stand. `volunteer` is who was at fault, where known. */
  | { readonly type: 'rerouted'; readonly reason: string; readonly volunteer: PeerId | null }
  | { readonly type: 'end'; readonly reason: 'stop' | 'length' | 'cancelled'; readonly usage: Usage };

export interface Usage {
  readonly promptTokens: number;
  /** Tokens reported as `token`; the end token is not one of them. */
  readonly completionTokens: number;
}
