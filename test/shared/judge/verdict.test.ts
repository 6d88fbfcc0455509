import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { Outcome } from '#shared/judge/finding.ts';
import { decide, type ThirdFinding, type WrongParty } from '#shared/judge/verdict.ts';

function third(role: 'arbiter' | 'referee', primary: Outcome, shadow: Outcome): ThirdFinding {
  return { by: { id: role as PeerId, role, numericClass: 'wasm' }, mayDecide: true, primary, shadow };
}
const rejected = { outcome: 'rejected', mustMatch: false } as const;
const lied = { outcome: 'rejected', mustMatch: true } as const;

describe('of two that may differ', () => {
  it.each<[WrongParty, Outcome, Outcome]>([
    ['shadow', 'agreed', 'rejected'],
    ['shadow', 'agreed', 'suspect'],
    ['primary', 'rejected', 'agreed'],
    ['primary', 'rejected', 'suspect'],
    ['both', 'rejected', 'rejected'],
    ['nobody', 'agreed', 'agreed'],
    ['unknown', 'suspect', 'suspect'],
  ])('%s is wrong where a referee finds the primary %s and the shadow %s', (wrong, primary, shadow) => {
    expect(decide(rejected, [third('referee', primary, shadow)]).wrong).toBe(wrong);
  });

  it('the referee decides before the arbiter', () => {
    const thirds = [third('arbiter', 'agreed', 'rejected'), third('referee', 'rejected', 'agreed')];
    expect(decide(rejected, thirds)).toMatchObject({ wrong: 'primary', by: { role: 'referee' } });
  });
});

describe('an arbiter whose class nobody compared with theirs', () => {
  const friend = { ...third('arbiter', 'agreed', 'rejected'), mayDecide: false };

  it('decides nothing', () => {
    expect(decide(rejected, [friend])).toEqual({ wrong: 'unknown', by: null });
    expect(decide({ outcome: 'suspect', mustMatch: false }, [friend])).toEqual({ wrong: 'unknown', by: null });
  });

  it('leaves it to the referee', () => {
    expect(decide(rejected, [friend, third('referee', 'rejected', 'agreed')])).toMatchObject({
      wrong: 'primary',
      by: { role: 'referee' },
    });
  });
});

describe('of two that must match', () => {
  it.each<[Outcome, Outcome]>([
    ['agreed', 'agreed'],
    ['agreed', 'suspect'],
    ['suspect', 'agreed'],
    ['suspect', 'suspect'],
  ])('nobody is cleared by a third that finds them %s and %s', (primary, shadow) => {
    for (const role of ['arbiter', 'referee'] as const) {
      expect(decide(lied, [third(role, primary, shadow)])).toEqual({ wrong: 'unknown', by: null });
    }
  });

  it('the liar is found by an arbiter of their class where the referee, of another, is near to both', () => {
    const thirds = [third('arbiter', 'agreed', 'rejected'), third('referee', 'agreed', 'agreed')];
    expect(decide(lied, thirds)).toMatchObject({ wrong: 'shadow', by: { role: 'arbiter' } });
  });

  it('the liar is found by whoever is far from one and agrees with the other', () => {
    for (const role of ['arbiter', 'referee'] as const) {
      expect(decide(lied, [third(role, 'rejected', 'agreed')])).toMatchObject({ wrong: 'primary', by: { role } });
      expect(decide(lied, [third(role, 'agreed', 'rejected')])).toMatchObject({ wrong: 'shadow', by: { role } });
    }
    expect(decide(lied, [third('referee', 'rejected', 'rejected')]).wrong).toBe('both');
  });
});
