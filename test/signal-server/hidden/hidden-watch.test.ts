import { describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { CheckFailure, Finding } from '#shared/judge/finding.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { UNSETTLED } from '#shared/requester/engine/session-loss.ts';
import { CONTRADICTION } from '#shared/requester/session/told-fault.ts';
import type { Route } from '#shared/route/route.ts';
import { HiddenWatch } from '../../../signal-server/hidden/hidden-watch.ts';
import { endEvent, findingOf, spanOf, tokenEvent } from '../../support/verdicts.ts';

const [target, anchor, other] = ['1', '3', '5'].map((digit) => digit.repeat(64) as PeerId) as [PeerId, PeerId, PeerId];

function routed(primary: PeerId, shadow: PeerId, before: PeerId = anchor): AnswerEvent {
  const stages = [
    { primary: { id: before }, shadows: [] },
    { primary: { id: primary }, shadows: [{ id: shadow }] },
  ];
  return { type: 'routed', route: { stages } as unknown as Route, links: [] };
}
const token = (lapMs: number): AnswerEvent => ({ ...tokenEvent(3, 7), lapMs }) as AnswerEvent;
/** The target, or the one named, as primary of the span's stage. */
function checked(finding: Finding, primary = target, primaryClass = ENGINE_CLASS): AnswerEvent {
  const span = spanOf(0, 8, 'checked', [finding]);
  return { type: 'checked', check: { ...span, stages: [{ ...span.stages[0]!, primary, primaryClass }] } };
}
const exact = findingOf(0, { shadow: anchor, shadowClass: ENGINE_CLASS });
const fault = (volunteer: PeerId, code: CheckFailure): AnswerEvent => ({
  ...{ type: 'fault', volunteer, stage: 1, role: 'primary', code, start: 0, end: 8, isProven: false },
});
const rerouted = (volunteer: PeerId | null, reason = 'silence'): AnswerEvent => ({
  type: 'rerouted',
  reason,
  volunteer,
  from: 3,
});

function watch(...events: AnswerEvent[]): HiddenWatch {
  const one = new HiddenWatch({ target, isAnchor: (id) => id === anchor });
  events.forEach((event) => one.take(event));
  return one;
}

describe('what a hidden session shows of its target', () => {
  it('is spans that agreed with an anchor’s, and the time of its laps without the first', () => {
    const seen = watch(routed(target, anchor), ...[90, 5, 7, 6].map(token), checked(exact), checked(exact));
    expect(seen.end(null)).toEqual({ type: 'passed', spans: 2, lapMs: 6, isMeasured: true });
    expect(seen.tokens).toBe(4);
  });

  it('is no speed where it was a shadow, or where somebody else had a part in the laps', () => {
    const shadow = watch(routed(anchor, target), token(9), token(5), checked({ ...exact, shadow: target }, anchor));
    expect(shadow.end(null)).toMatchObject({ type: 'passed', spans: 1, lapMs: null });
    const amongOthers = watch(routed(target, anchor, other), token(9), token(5), checked(exact));
    expect(amongOthers.end(null)).toMatchObject({ type: 'passed', lapMs: null });
  });

  it('is nothing where its rows stood beside those of others only', () => {
    expect(watch(routed(target, other), checked({ ...exact, shadow: other })).end(null).type).toBe('unclear');
    expect(watch(routed(other, target), checked({ ...exact, shadow: target }, other)).end(null).type).toBe('unclear');
  });

  it('is a measured class by equal bits of the exact one, or within limits that were measured', () => {
    const { threshold } = exact;
    const cautious = { ...threshold, isMeasured: false };
    const cases: [Finding, string, boolean][] = [
      [{ ...exact, threshold: cautious }, ENGINE_CLASS, true],
      [findingOf(1e-5, { shadow: anchor, shadowClass: ENGINE_CLASS }), 'webgpu/google/swiftshader', true],
      [{ ...exact, threshold: cautious }, 'webgpu/apple/m9', false],
      [findingOf(1e-5, { shadow: anchor, threshold: cautious }), 'webgpu/apple/m9', false],
    ];
    for (const [finding, numericClass, isMeasured] of cases) {
      expect(watch(routed(target, anchor), checked(finding, target, numericClass)).end(null)).toMatchObject({
        isMeasured,
      });
    }
  });

  it('is a failure where it signs nothing at the end, and nothing of one that is not there any more', () => {
    const over = (...signers: PeerId[]): AnswerEvent => {
      const attestations = signers.map((replica) => ({ replica }));
      return { ...endEvent(3), evidence: { attestations } as unknown as Evidence };
    };
    expect(watch(routed(target, anchor), checked(exact), over(target, anchor)).end(null).type).toBe('passed');
    const silent = watch(routed(target, anchor), checked(exact), over(anchor));
    expect(silent.end(null)).toMatchObject({
      ...{ type: 'failed', how: 'late', reason: 'it did not sign at the end what it had computed' },
    });
    const gone = watch(routed(target, anchor), checked(exact), rerouted(other), routed(anchor, other), over(anchor));
    expect(gone.end(null).type).toBe('passed');
  });

  it('is a failure where one span differs, however many agreed, and says whether its class was measured', () => {
    const doubtful = findingOf(0.05, { shadow: anchor, outcome: 'suspect' });
    const unmeasured = { ...doubtful, threshold: { ...doubtful.threshold, isMeasured: false } };
    const reasons = [doubtful, unmeasured].map((finding) => {
      const result = watch(routed(target, anchor), checked(exact), checked(finding, target, 'webgpu/x')).end(null);
      return result.type === 'failed' ? result.reason : result.type;
    });
    expect(reasons[0]).toMatch(/honest devices of its class/);
    expect(reasons[1]).toMatch(/has not been measured/);
  });

  it('is its faults and nobody else’s, with what silence can be the reason of told apart', () => {
    expect(watch(routed(target, anchor), fault(target, 'disagreement')).end(null)).toMatchObject({ how: 'wrong' });
    expect(watch(routed(target, anchor), fault(target, 'commit-late')).end(null)).toMatchObject({ how: 'late' });
    expect(watch(routed(target, anchor), fault(anchor, 'disagreement'), checked(exact)).end(null).type).toBe('passed');
  });

  it('is a failure where the session is lost by it, or over what it and anchors alone can have said', () => {
    expect(watch(routed(target, anchor), rerouted(target)).hasFailed).toBe(true);
    expect(watch(routed(target, anchor), rerouted(anchor)).hasFailed).toBe(false);
    expect(watch(routed(target, anchor), rerouted(null)).hasFailed).toBe(false);
    for (const reason of [CONTRADICTION, UNSETTLED]) {
      expect(watch(routed(target, anchor), rerouted(null, reason)).hasFailed).toBe(true);
      expect(watch(routed(target, anchor, other), rerouted(null, reason)).hasFailed).toBe(false);
    }
  });

  it('is nothing more once the session goes on without it', () => {
    const seen = watch(routed(target, anchor), rerouted(anchor), routed(anchor, other), rerouted(null), token(5));
    expect(seen.end(null)).toMatchObject({ type: 'unclear' });
  });

  it('is what it did not do in time, and else no fault of its own where the session ends with an error', () => {
    const error = new ChorusError('all-busy', 'no anchor is free for it');
    expect(watch().end(error)).toEqual({ type: 'unclear', reason: 'no anchor is free for it' });
    expect(watch().end(error, 'it was silent')).toEqual({ type: 'failed', reason: 'it was silent', how: 'late' });
  });
});
