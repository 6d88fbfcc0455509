import type { PeerId } from '../ids.ts';
import type { CheckCounts, CheckFailure, SpanCheck, Tier } from '../judge/finding.ts';
import type { Evidence } from '../receipt/evidence/evidence.ts';
import type { Route } from '../route/route.ts';
import type { Sampling } from '../rows/sampler.ts';
import type { HopTiming } from '../wire/peer-message.ts';

/** One of the requester's own links to the ends of its route. */
export interface RouteLink {
  readonly stage: number;
  readonly transport: 'webrtc' | 'relay';
  readonly roundTripMs: number | undefined;
}

/** The wishes for one answer. */
export interface GenerateRequest {
  /** The whole history, prompt and earlier answers; the part that the session already holds is not sent again. */
  readonly promptTokens: readonly number[];
  readonly maxNewTokens: number;
  readonly sampling: Sampling;
  /**
   * Asked after each token with the answer so far: true where it needs no more (a stop string has come). It then ends with
   * reason `stop`, once it is checked up to that token. Must depend on the tokens alone: they may be taken back and come again.
   */
  readonly isComplete?: (answer: readonly number[]) => boolean;
}

/** A report of an answer while it is made; they come in order. The last one is `end`, unless it fails with a ChorusError. */
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
  /**
   * The answer goes on over another route. `volunteer` was at fault, where one is known. Tokens at positions >= `from`
   * are made anew: `token` comes again for them, and takes the place of what came before.
   */
  | { readonly type: 'rerouted'; readonly reason: string; readonly volunteer: PeerId | null; readonly from: number }
  /**
   * The rows of two replicas agreed and drew different tokens, and that of `volunteer` goes on, in place of the primary's.
   * Tokens at positions >= `from` are made anew, as after `rerouted`; the first comes at once.
   */
  | { readonly type: 'redrawn'; readonly stage: number; readonly volunteer: PeerId; readonly from: number }
  /**
   * Positions [check.start, check.end) have their verdict. Verdicts come in the order of positions; tokens at positions
   * <= check.end (each is sampled from the row before it) are then as good as `check.tier` says.
   */
  | { readonly type: 'checked'; readonly check: SpanCheck }
  /** Two replicas of a stage differ and a third is asked; the answer waits. */
  | {
      readonly type: 'settling';
      readonly stage: number;
      readonly start: number;
      readonly end: number;
      readonly role: 'arbiter' | 'referee';
    }
  /** A replica failed the check. `isProven` where its own signed messages and an anchor's show it to anybody. */
  | {
      readonly type: 'fault';
      readonly volunteer: PeerId;
      readonly stage: number;
      readonly role: 'primary' | 'shadow';
      readonly code: CheckFailure;
      readonly start: number;
      readonly end: number;
      readonly isProven: boolean;
    }
  | {
      readonly type: 'end';
      readonly reason: 'stop' | 'length' | 'cancelled';
      readonly usage: Usage;
      /** The lowest tier of the answer's spans; `unchecked` for a cancelled answer whose last spans were not waited for. */
      readonly tier: Tier;
      readonly counts: CheckCounts;
      /** The material of a receipt; null for a cancelled answer and for one that did not get all its verdicts. */
      readonly evidence: Evidence | null;
    };

export interface Usage {
  readonly promptTokens: number;
  /** Tokens reported as `token`; the end token is not one of them. */
  readonly completionTokens: number;
}
