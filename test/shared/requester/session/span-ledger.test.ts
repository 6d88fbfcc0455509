import { describe, expect, it } from 'vitest';
import type { SpanCheck, Tier } from '#shared/judge/finding.ts';
import { SpanLedger } from '#shared/requester/session/span-ledger.ts';

const span = (start: number, end: number, tier: Tier = 'checked'): SpanCheck => ({ start, end, tier, stages: [] });

function ledgerOf(...spans: SpanCheck[]): SpanLedger {
  const ledger = new SpanLedger();
  for (const each of spans) ledger.add(each);
  return ledger;
}

describe('the verdicts of a session', () => {
  it('follow each other from position 0 on', () => {
    const ledger = ledgerOf(span(0, 32), span(32, 40));
    expect(ledger.end).toBe(40);
    expect(ledger.upTo(40)).toEqual([span(0, 32), span(32, 40)]);
  });

  it('have no room for one that leaves positions out', () => {
    expect(ledgerOf(span(0, 32), span(33, 40)).end).toBe(32);
  });

  it('hold for what a cut has left of them', () => {
    const ledger = ledgerOf(span(0, 32), span(32, 40, 'settled'), span(40, 50));
    ledger.cut(35);
    ledger.add(span(35, 64, 'unchecked'));
    expect(ledger.upTo(64)).toEqual([span(0, 32), span(32, 35, 'settled'), span(35, 64, 'unchecked')]);
  });

  it('give way to later ones on the same positions', () => {
    expect(ledgerOf(span(0, 32), span(32, 40), span(32, 44, 'settled')).upTo(44)).toEqual([
      span(0, 32),
      span(32, 44, 'settled'),
    ]);
  });

  it('leave nothing after a cut to the beginning', () => {
    const ledger = ledgerOf(span(0, 32));
    ledger.cut(0);
    expect(ledger.end).toBe(0);
    expect(ledger.upTo(32)).toEqual([]);
  });

  it('can be had of fewer positions', () => {
    expect(ledgerOf(span(0, 32), span(32, 40)).upTo(36)).toEqual([span(0, 32), span(32, 36)]);
  });
});
