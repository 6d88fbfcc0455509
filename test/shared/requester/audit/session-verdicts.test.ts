import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { SpanCheck, Tier } from '#shared/judge/finding.ts';
import { SessionVerdicts } from '#shared/requester/audit/session-verdicts.ts';

const span = (start: number, end: number, tier: Tier = 'checked'): SpanCheck => ({ start, end, tier, stages: [] });

function verdictsOf(...spans: SpanCheck[]): SessionVerdicts {
  const verdicts = new SessionVerdicts();
  for (const each of spans) verdicts.add(each);
  return verdicts;
}

describe('the verdicts of a session', () => {
  it('follow each other from position 0 on', () => {
    const verdicts = verdictsOf(span(0, 32), span(32, 40));
    expect(verdicts.end).toBe(40);
    expect(verdicts.upTo(40)).toEqual([span(0, 32), span(32, 40)]);
  });

  it('have no room for one that leaves positions out', () => {
    expect(verdictsOf(span(0, 32), span(33, 40)).end).toBe(32);
  });

  it('hold for what a cut has left of them', () => {
    const verdicts = verdictsOf(span(0, 32), span(32, 40, 'settled'), span(40, 50));
    verdicts.cut(35);
    verdicts.add(span(35, 64, 'unchecked'));
    expect(verdicts.upTo(64)).toEqual([span(0, 32), span(32, 35, 'settled'), span(35, 64, 'unchecked')]);
  });

  it('give way to later ones on the same positions', () => {
    expect(verdictsOf(span(0, 32), span(32, 40), span(32, 44, 'settled')).upTo(44)).toEqual([
      span(0, 32),
      span(32, 44, 'settled'),
    ]);
  });

  it('leave nothing after a cut to the beginning', () => {
    const verdicts = verdictsOf(span(0, 32));
    verdicts.cut(0);
    expect(verdicts.end).toBe(0);
    expect(verdicts.upTo(32)).toEqual([]);
  });

  it('can be had of fewer positions', () => {
    expect(verdictsOf(span(0, 32), span(32, 40)).upTo(36)).toEqual([span(0, 32), span(32, 36)]);
  });

  it('are counted, those that were cut among them', () => {
    const verdicts = new SessionVerdicts();
    verdicts.add(span(0, 32));
    verdicts.add(span(32, 40, 'settled'));
    verdicts.cut(20);
    verdicts.addDisputed();
    expect(verdicts.counts).toEqual({ checked: 1, settled: 1, unchecked: 0, disputed: 1 });
  });

  it('are told once, and those that are the worse for a bare stage only after it', () => {
    const verdicts = verdictsOf(span(0, 32));
    const bare = { shadow: 'c'.repeat(64) as PeerId, partner: null, isShown: true, isLate: false };
    expect(verdicts.take()).toEqual([span(0, 32)]);
    verdicts.addBare(bare);
    verdicts.add(span(32, 40, 'settled'));
    expect(verdicts.take()).toEqual([span(32, 40, 'settled')]);
    verdicts.add(span(40, 44, 'unchecked'));
    verdicts.add(span(44, 48));
    expect(verdicts.take()).toEqual([]);
    expect(verdicts.takeAll()).toEqual({ bare: [bare], checks: [span(40, 44, 'unchecked'), span(44, 48)] });
    expect(verdicts.take()).toEqual([]);
  });
});
