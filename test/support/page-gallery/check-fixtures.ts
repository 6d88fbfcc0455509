import {
  countTiers,
  lowestTier,
  type Closeness,
  type Finding,
  type SpanCheck,
  type StageCheck,
  type Threshold,
} from '#shared/judge/finding.ts';
import { CHUNK_POSITIONS } from '#shared/limits.ts';
import type { ReceiptVerdict } from '#shared/receipt/build/make-receipt.ts';
import type { Replica, Route } from '#shared/route/route.ts';
import type { ChatEvent } from '../../../web/state/conversation/chat.ts';
import { BARE_ROUTE, peer, PROMPT_TOKENS, ROUTE, routedEvent, tokenEvents } from './fixtures.ts';

/** Answers whose checks came out in every way, made up: for the gallery and for component tests. */

const MEASURED: Threshold = {
  pair: 'wasm + webgpu/nvidia/ampere',
  kind: 'hidden',
  isMeasured: true,
  accept: { median: 2e-4, p95: 6e-4, max: 2e-3, bias: 1e-4 },
  reject: { median: 4e-3, p95: 1.2e-2, max: 4e-2, bias: 2e-3 },
  tokenGap: 0.02,
};

const CLOSE: Closeness = { median: 2.1e-5, p95: 6.4e-5, max: 1.9e-4, bias: 7.3e-6, norm: 1.0001, tokenGap: 0 };
const APART: Closeness = { median: 9.1e-4, p95: 3.4e-3, max: 8.2e-3, bias: 4.1e-4, norm: 1.002, tokenGap: 0.004 };
const FAR: Closeness = { median: 0.31, p95: 0.44, max: 0.71, bias: 0.22, norm: 0.97, tokenGap: 3.1 };

export function finding(
  shadow: Replica,
  primary: Replica,
  kind: Threshold['kind'],
  change: Partial<Finding> = {},
): Finding {
  const isExact = primary.numericClass === 'wasm' && shadow.numericClass === 'wasm';
  const same: Closeness = { median: 0, p95: 0, max: 0, bias: 0, norm: 1, tokenGap: 0 };
  const threshold = { ...MEASURED, kind, pair: [primary.numericClass, shadow.numericClass].sort().join(' + ') };
  return {
    shadow: shadow.id,
    shadowClass: shadow.numericClass,
    outcome: 'agreed',
    isExact,
    closeness: isExact ? same : CLOSE,
    threshold: { ...threshold, isMeasured: isExact || !shadow.numericClass.includes('apple') },
    draws: null,
    ...change,
  };
}

/** The check of one stage of a route, agreed unless changed. */
export function stageCheck(route: Route, stage: number, change: Partial<StageCheck> = {}): StageCheck {
  const { range, primary, shadows } = route.stages[stage]!;
  return {
    stage,
    range,
    tier: shadows.length === 0 ? 'unchecked' : 'checked',
    primary: primary.id,
    primaryClass: primary.numericClass,
    findings: shadows.map((shadow) => finding(shadow, primary, range.head ? 'logits' : 'hidden')),
    arbiter: null,
    reason: shadows.length === 0 ? 'alone' : null,
    drawnBy: null,
    ...change,
  };
}

export function spanCheck(route: Route, start: number, end: number, changes: Partial<StageCheck>[] = []): SpanCheck {
  const stages = route.stages.map((_, stage) => stageCheck(route, stage, changes[stage]));
  const tier = (['disputed', 'unchecked', 'settled'] as const).find((worst) =>
    stages.some((check) => check.tier === worst),
  );
  return { start, end, tier: tier ?? 'checked', stages };
}

/** The findings of a referee where the shadow was wrong. */
export function settledCheck(start: number, end: number): SpanCheck {
  const { primary, shadows } = ROUTE.stages[1]!;
  const findings = [finding(shadows[0]!, primary, 'logits', { outcome: 'suspect', isExact: false, closeness: APART })];
  const arbiter = { id: peer(7), role: 'arbiter', numericClass: 'wasm' } as const;
  return spanCheck(ROUTE, start, end, [{}, { tier: 'settled', findings, arbiter }]);
}

export function disputedCheck(start: number, end: number): SpanCheck {
  const { primary, shadows } = ROUTE.stages[0]!;
  const findings = [finding(shadows[0]!, primary, 'hidden', { outcome: 'rejected', isExact: false, closeness: FAR })];
  return spanCheck(ROUTE, start, end, [{ tier: 'disputed', findings }]);
}

type Check = (start: number, end: number) => SpanCheck;

/** The tokens of `events` with their verdicts among them, each a few tokens late, as they come. */
function withChecks(tokens: readonly ChatEvent[], check: Check, lag = 3): ChatEvent[] {
  const all: ChatEvent[] = [];
  const lastPosition = PROMPT_TOKENS + tokens.length - 1;
  let checkedEnd = 0;
  const close = (end: number): void => {
    if (end > checkedEnd) all.push({ type: 'checked', check: check(checkedEnd, end) });
    checkedEnd = end;
  };
  for (const [i, token] of tokens.entries()) {
    all.push(token);
    const closable = Math.floor((PROMPT_TOKENS + i - lag) / CHUNK_POSITIONS) * CHUNK_POSITIONS;
    while (checkedEnd + CHUNK_POSITIONS <= closable) close(checkedEnd + CHUNK_POSITIONS);
  }
  close(lastPosition);
  return all;
}

function end(tokens: readonly ChatEvent[], events: readonly ChatEvent[]): ChatEvent {
  const tiers = events.flatMap((event) => (event.type === 'checked' ? [event.check.tier] : []));
  const count = (tier: SpanCheck['tier']) => tiers.filter((candidate) => candidate === tier).length;
  return {
    type: 'end',
    text: '',
    hasEvidence: false,
    reason: 'stop',
    usage: { promptTokens: PROMPT_TOKENS, completionTokens: tokens.length },
    tier: (['disputed', 'unchecked', 'settled'] as const).find((tier) => count(tier) > 0) ?? 'checked',
    counts: {
      checked: count('checked'),
      settled: count('settled'),
      unchecked: count('unchecked'),
      disputed: count('disputed'),
    },
  };
}

/** A whole answer whose spans have the verdicts of `check`. */
function answered(route: Route, check: Check, repeat = 1): ChatEvent[] {
  const tokens = tokenEvents(repeat);
  const events = withChecks(tokens, check);
  return [...opening(route), ...events, end(tokens, events)];
}

function opening(route: Route): ChatEvent[] {
  return [routedEvent(route), { type: 'prompt', done: PROMPT_TOKENS, total: PROMPT_TOKENS }];
}

/** All agreed; `repeat` makes the answer longer. */
export function storyEvents(repeat = 1): ChatEvent[] {
  return answered(ROUTE, (start, end) => spanCheck(ROUTE, start, end), repeat);
}

/** One replica for each stage. */
export function bareEvents(): ChatEvent[] {
  return answered(BARE_ROUTE, (start, end) => spanCheck(BARE_ROUTE, start, end));
}

/** A difference that a third volunteer decided for the primary. */
export function settledEvents(): ChatEvent[] {
  return answered(ROUTE, (start, end) => (start === 32 ? settledCheck(start, end) : spanCheck(ROUTE, start, end)));
}

/** A shadow that left in the middle. */
export function partlyEvents(): ChatEvent[] {
  const bare = { tier: 'unchecked', findings: [] } as const;
  const events = answered(ROUTE, (start, end) => spanCheck(ROUTE, start, end, start >= 64 ? [bare] : []));
  const { id } = ROUTE.stages[0]!.shadows[0]!;
  const left = { type: 'fault', volunteer: id, stage: 0, role: 'shadow', code: 'unreachable' } as const;
  return [...events.slice(0, -2), { ...left, start: 64, end: 90, isProven: false }, ...events.slice(-2)];
}

/** Nobody could decide. */
export function disputedEvents(): ChatEvent[] {
  return answered(ROUTE, (start, end) => (start >= 64 ? disputedCheck(start, end) : spanCheck(ROUTE, start, end)));
}

/** Two replicas differ and an anchor is asked; then nothing more. */
export function settlingEvents(): ChatEvent[] {
  const events = storyEvents().filter((event) => event.type !== 'checked' || event.check.start < 64);
  const settling = { type: 'settling', stage: 1, start: 64, end: 90, role: 'referee' } as const;
  return [...events.slice(0, -1), settling];
}

/** A primary that was proven wrong after the first two spans; the rest is made again over another route. */
export function liarEvents(): ChatEvent[] {
  const before = storyEvents();
  const cut = before.findIndex((event) => event.type === 'checked' && event.check.start === 32) + 1;
  const liar = ROUTE.stages[0]!.primary.id;
  const first = { ...ROUTE.stages[0]!, primary: ROUTE.stages[0]!.shadows[0]!, shadows: [replacement()] };
  const route: Route = { ...ROUTE, session: '1'.repeat(32) as Route['session'], stages: [first, ROUTE.stages[1]!] };
  const span = { stage: 0, start: 64, end: 78 } as const;
  const again = tokenEvents().filter((event) => event.type !== 'token' || event.position >= 65);
  const second: ChatEvent[] = [0, 32, 64].map((start) => ({
    type: 'checked',
    check: spanCheck(route, start, Math.min(start + 32, PROMPT_TOKENS + tokenEvents().length - 1)),
  }));
  const events: ChatEvent[] = [
    ...before.slice(0, cut),
    { type: 'settling', role: 'referee', ...span },
    { type: 'fault', volunteer: liar, role: 'primary', code: 'disagreement', isProven: true, ...span },
    { type: 'rerouted', reason: 'its work failed the check', volunteer: liar, from: 65 },
    routedEvent(route),
    ...again,
    ...second,
  ];
  return [...events, end(tokenEvents(), events)];
}

function replacement(): Replica {
  return { id: peer(8), webrtc: true, numericClass: 'webgpu/apple/metal-3' };
}

/** The verdict of a receipt of these events; with `isSigned` false, of one that no second volunteer signed. */
export function receiptVerdict(events: readonly ChatEvent[], isSigned = true): ReceiptVerdict {
  const spans = events.flatMap((event) => {
    if (event.type !== 'checked') return [];
    const { start, end, tier, stages } = event.check;
    const signed = stages.map((check) => ({
      ...{ stage: check.stage, findings: [], arbiter: null },
      ...(isSigned ? { tier: check.tier } : { tier: 'unchecked' as const, reason: 'not-signed' as const }),
    }));
    return [{ start, end, tier: isSigned ? tier : ('unchecked' as const), stages: signed }];
  });
  const tiers = spans.map(({ tier }) => tier);
  return { tier: lowestTier(tiers), counts: countTiers(tiers), spans };
}
