import { describe, expect, test } from 'vitest';
import { AuditStand, tokens } from '../../../support/audit-stand.ts';

describe('a shadow that is gone', () => {
  test('before it is linked is unreachable, and holds nothing up any longer', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link('P0', 'P1', 'V0a');
    await stand.feed(tokens(32));
    expect(stand.verdicts).toEqual([]);
    await stand.tell((audit) => audit.unreachable(stand.at('V1a').id));
    expect(stand.faults).toEqual(['V1a unreachable']);
    expect(stand.failed[0]).toMatchObject({ isStageBare: true, span: null });
    expect(stand.verdicts).toEqual(['0-32 unchecked']);
    await stand.link('V1a');
    expect(stand.checksTo('V1a')).toEqual([]);
  });

  test('is unreachable too if nobody says whether it can be linked', async () => {
    const stand = new AuditStand([1]);
    await stand.link('P0');
    await stand.feed(tokens(32));
    await stand.pass(19_999);
    expect(stand.faults).toEqual([]);
    await stand.pass(1);
    expect(stand.faults).toEqual(['V0a unreachable']);
  });

  test('while its commit is waited for, or is being verified, does not come back with it', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isHeld = (from) => from === stand.at('V1a');
    await stand.feed(tokens(32));
    await stand.tell((audit) => audit.unreachable(stand.at('V1a').id));
    await stand.release();
    expect(stand.faults).toEqual(['V1a unreachable']);
    expect(stand.verdicts).toEqual(['0-32 unchecked']);
  });

  test('leaves the other shadow of its stage to check', async () => {
    const stand = new AuditStand([2, 1]);
    await stand.link();
    await stand.tell((audit) => audit.unreachable(stand.at('V0a').id));
    expect(stand.failed[0]!.isStageBare).toBe(false);
    await stand.feed(tokens(32));
    expect(stand.verdicts).toEqual(['0-32 checked']);
  });

  test('by its own fault message is unreachable', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    const { session } = stand.route;
    const fault = { type: 'fault', session, stage: 0, code: 'device-lost', message: '', volunteer: null } as const;
    await stand.tell((audit) => audit.onMessage(stand.at('V0a').id, fault));
    expect(stand.faults).toEqual(['V0a unreachable']);
  });

  test('of the last stage leaves the primary, whose own link the session cannot do without', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    await stand.tell((audit) => audit.unreachable(stand.at('P1').id));
    expect(stand.failed[0]).toMatchObject({ role: 'primary', code: 'unreachable' });
    expect(stand.audit.isOver).toBe(true);
    expect(stand.audit.deadlineMs).toBe(Infinity);
  });
});

describe('time', () => {
  test('a commit after its time, though the timer has not run yet, is late', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isHeld = (from) => from === stand.at('V0a');
    await stand.feed(tokens(32));
    stand.nowMs += 20_000;
    await stand.release();
    expect(stand.faults).toEqual(['V0a commit-late']);
  });

  test('a commit in the last millisecond is not', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isHeld = (from) => from === stand.at('V0a');
    await stand.feed(tokens(32));
    await stand.pass(19_999);
    await stand.release();
    expect(stand.faults).toEqual([]);
    expect(stand.verdicts).toEqual(['0-32 checked']);
  });

  test('a commit after the timer has run changes nothing more', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isHeld = (from) => from === stand.at('V0a');
    await stand.feed(tokens(32));
    await stand.pass(20_000);
    await stand.release();
    expect(stand.faults).toEqual(['V0a commit-missing']);
    expect(stand.verdicts).toEqual(['0-32 unchecked']);
  });

  test('a reveal after its time, though the timer has not run yet, is late', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isHeld = (from, message) => from === stand.at('P1') && message.type === 'reveal';
    await stand.feed(tokens(32));
    stand.nowMs += 5_000;
    await stand.release();
    expect(stand.faults).toEqual(['P1 reveal-late']);
  });

  test('a commit that came in time may be verified after it', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isVerifying = false;
    await stand.feed(tokens(32));
    await stand.pass(60_000);
    expect(stand.faults).toEqual([]);
  });

  test('in which the requester slept is nobody’s fault, once', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isHeld = (from) => from === stand.at('V0a') || from === stand.at('V1a');
    await stand.feed(tokens(32));
    stand.nowMs += 3_600_000;
    await stand.tell((audit) => audit.onTime());
    expect(stand.faults).toEqual([]);
    await stand.release((from) => from === stand.at('V1a'));
    expect(stand.faults).toEqual([]);
    await stand.pass(2_000);
    expect(stand.faults).toEqual(['V1a commit-missing']);
  });

  test('a shadow that is more than 16 spans behind is too slow', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link();
    stand.isHeld = (from) => from === stand.at('V1a');
    await stand.feed(tokens(32 * 16));
    expect(stand.faults).toEqual([]);
    await stand.feed(tokens(32));
    expect(stand.faults).toEqual(['V1a too-slow']);
    expect(stand.verdicts).toHaveLength(17);
    expect(stand.isClosed('V1a')).toBe(true);
  });
});
