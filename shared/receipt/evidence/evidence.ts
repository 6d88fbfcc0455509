import type { Envelope } from '../../crypto/envelope.ts';
import type { PeerId } from '../../ids.ts';
import type { CheckCounts, CheckFailure, SpanCheck, Tier } from '../../judge/finding.ts';
import type { Route } from '../../route/route.ts';
import type { Sampling } from '../../rows/sampler.ts';

/** Rows as they were fed, and so as the primaries ran them, whatever a cut took of them later. */
export interface FedRun {
  readonly start: number;
  readonly count: number;
  /** Positions at its end whose logits were asked for. */
  readonly logits: number;
}

/** The knowledge of a requester's engine when an answer ends; all that a receipt says of how it was made comes from here. */
export interface Evidence {
  readonly route: Route;
  readonly envelope: Envelope;
  /** The salt under which the attestations were asked for, 32 bytes. */
  readonly salt: Uint8Array<ArrayBuffer>;
  /** Prompt and answer, as they were fed and sampled. */
  readonly tokens: readonly number[];
  readonly promptTokens: number;
  /** As they were used, after all defaults. */
  readonly sampling: Sampling;
  readonly maxNewTokens: number;
  /** End of the seed chain, 32 bytes; null without a check. */
  readonly anchor: Uint8Array<ArrayBuffer> | null;
  /** Positions that were fed: all of `tokens`, or all but the last. */
  readonly positions: number;
  /** The rows messages fed to stage 0, in order, those that a cut took back left out. */
  readonly runs: readonly FedRun[];
  /** From position 0 to `positions` without a gap; what has no verdict as a span of tier `unchecked`. */
  readonly spans: readonly SpanCheck[];
  readonly tier: Tier;
  readonly counts: CheckCounts;
  readonly faults: readonly {
    readonly volunteer: PeerId;
    readonly stage: number;
    readonly role: 'primary' | 'shadow';
    readonly code: CheckFailure;
    readonly isProven: boolean;
  }[];
  /** The number of this record in its session, from 1 on. */
  readonly record: number;
  /** The attestations of the replicas that signed. */
  readonly attestations: readonly {
    readonly replica: PeerId;
    readonly publicKey: Uint8Array<ArrayBuffer>;
    readonly envelope: Envelope;
  }[];
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
}
