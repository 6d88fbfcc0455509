import type { PeerId } from '#shared/ids.ts';
import type { Finding, SpanCheck, StageCheck, Tier } from '#shared/judge/finding.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';

const id = (digit: string) => digit.repeat(64) as PeerId;

/** A comparison that came out well, `value` in every measure of limits ten times the size of `limit`. */
export function findingOf(value: number, more: Partial<Finding> = {}): Finding {
  const limits = (limit: number) => ({ median: limit, p95: limit, max: limit, bias: limit });
  return {
    shadow: id('3'),
    shadowClass: 'wasm',
    outcome: 'agreed',
    isExact: value === 0,
    closeness: { median: value, p95: value, max: value, bias: value, norm: 1, tokenGap: 0 },
    threshold: {
      pair: 'wasm + wasm',
      kind: 'hidden',
      isMeasured: true,
      accept: limits(0.01),
      reject: limits(0.1),
      tokenGap: 0.1,
    },
    draws: null,
    ...more,
  };
}

/** The verdict on positions [start, end) of a route with one stage. */
export function spanOf(
  start: number,
  end: number,
  tier: Tier = 'checked',
  findings: readonly Finding[] = tier === 'unchecked' ? [] : [findingOf(0)],
): SpanCheck {
  const stage: StageCheck = {
    stage: 0,
    range: { start: 0, end: 8, embedding: true, head: true },
    tier,
    primary: id('1'),
    primaryClass: 'wasm',
    findings,
    arbiter: null,
    reason: tier === 'unchecked' ? 'alone' : null,
    drawnBy: null,
  };
  return { start, end, tier, stages: [stage] };
}

export function checkedEvent(...span: Parameters<typeof spanOf>): AnswerEvent {
  return { type: 'checked', check: spanOf(...span) };
}

export function tokenEvent(position: number, token: number): AnswerEvent {
  return { type: 'token', token, logprob: -1, position, lapMs: 1, hops: [] };
}

/** The end of an answer of which `spans` spans all came out as `tier`. */
export function endEvent(
  completionTokens: number,
  { reason = 'stop', tier = 'checked', promptTokens = 3, spans = 1 }: Partial<EndOptions> = {},
): Extract<AnswerEvent, { type: 'end' }> {
  const counts = { checked: 0, settled: 0, unchecked: 0, disputed: 0, [tier]: spans };
  return { type: 'end', reason, usage: { promptTokens, completionTokens }, tier, counts, evidence: null };
}

interface EndOptions {
  readonly reason: 'stop' | 'length' | 'cancelled';
  readonly tier: Tier;
  readonly promptTokens: number;
  readonly spans: number;
}
