import { describe, expect, test } from 'vitest';
import { MAX_CHECKS } from '#shared/limits.ts';
import type { Third } from '#shared/requester/audit/span-audit.ts';
import { AuditStand, tokens } from '../../../support/audit-stand.ts';

async function linked(shadows: readonly number[] = [1, 1, 1], shadowClass?: string): Promise<AuditStand> {
  const stand = new AuditStand(shadows, shadowClass);
  await stand.link();
  return stand;
}

describe('among honest replicas', () => {
  test('every span of prompt and answer is checked, in order and without a gap', async () => {
    const stand = await linked();
    await stand.feed(tokens(70));
    await stand.decode(tokens(40, 70));
    await stand.tell((audit) => audit.closeSpan());
    expect(stand.verdicts).toEqual(['0-32 checked', '32-64 checked', '64-96 checked', '96-110 checked']);
    expect(stand.faults).toEqual([]);
    expect(stand.disputes).toEqual([]);
    expect(stand.book.verdicts.end).toBe(110);
    expect(stand.book.isJudged).toBe(true);
    expect(stand.checked[0]?.stages[1]?.findings[0]).toMatchObject({ outcome: 'agreed', isExact: true });
  });

  test('replicas of another class agree within the limits', async () => {
    const stand = await linked([1, 1], 'webgpu/toy');
    for (const name of ['V0a', 'V1a']) {
      stand.at(name).lies.output = (row, position) => row.map((x, i) => x * (1 + ((position + i) % 2 ? 1e-5 : -1e-5)));
    }
    await stand.feed(tokens(32), 0);
    expect(stand.verdicts).toEqual(['0-32 checked']);
    const [hidden, logits] = stand.checked[0]!.stages.map(({ findings }) => findings[0]!);
    expect(hidden).toMatchObject({ isExact: false, outcome: 'agreed' });
    expect(hidden!.closeness.median).toBeGreaterThan(1e-6);
    expect(logits).toMatchObject({ isExact: false, outcome: 'agreed', threshold: { kind: 'logits' } });
  });

  test('a span is closed after a silence, and the next one goes on to the end of the chunk', async () => {
    const stand = await linked();
    await stand.feed(tokens(10));
    await stand.pass(1_999);
    expect(stand.checksTo('P0')).toHaveLength(0);
    await stand.pass(1);
    expect(stand.verdicts).toEqual(['0-10 checked']);
    expect(stand.audit.deadlineMs).toBe(Infinity);
    await stand.decode(tokens(30, 10));
    expect(stand.verdicts).toEqual(['0-10 checked', '10-32 checked']);
    await stand.tell((audit) => audit.closeSpan());
    expect(stand.verdicts.at(-1)).toBe('32-40 checked');
    await stand.tell((audit) => audit.closeSpan());
    expect(stand.verdicts).toHaveLength(3);
  });

  test('logits that are wanted stay the last of a span, though nobody closed it at the end of an answer', async () => {
    const stand = await linked();
    await stand.feed(tokens(5));
    await stand.decode(tokens(3, 5));
    await stand.feed(tokens(10, 8));
    await stand.tell((audit) => audit.closeSpan());
    expect(stand.checksTo('P0').map(({ start, end }) => [start, end])).toEqual([
      [0, 8],
      [8, 18],
    ]);
    expect(stand.verdicts).toEqual(['0-8 checked', '8-18 checked']);
  });

  test('a stage without a shadow leaves the span unchecked', async () => {
    const stand = await linked([1, 0, 1]);
    await stand.feed(tokens(32));
    expect(stand.verdicts).toEqual(['0-32 unchecked']);
    expect(stand.checked[0]!.stages.map(({ tier }) => tier)).toEqual(['checked', 'unchecked', 'checked']);
  });

  test('two shadows of a stage both give their finding', async () => {
    const stand = await linked([2, 1]);
    await stand.feed(tokens(32));
    expect(stand.checked[0]!.stages[0]!.findings.map(({ shadow }) => stand.nameOf(shadow))).toEqual(['V0a', 'V0b']);
  });

  test('rows that are no numbers are nobody’s fault where all replicas of the stage made the same', async () => {
    const stand = await linked();
    for (const name of ['P0', 'V0a']) stand.at(name).lies.output = (row) => row.fill(NaN);
    for (const name of ['P1', 'V1a']) stand.at(name).lies.input = (row) => row.fill(NaN);
    await stand.feed(tokens(32));
    expect(stand.faults).toEqual([]);
    expect(stand.verdicts).toEqual(['0-32 checked']);
  });
});

describe('the order of a check', () => {
  test('its start asks for a link to every replica, and each gets the anchor before any check', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.tell((audit) => audit.start());
    await stand.feed(tokens(32));
    expect(stand.connects.map(({ peer }) => stand.nameOf(peer))).toEqual(['P0', 'V0a', 'P1', 'V1a']);
    expect(stand.sent).toEqual([]);
    await stand.link('P0');
    expect(stand.sent.map(({ message }) => message.type)).toEqual(['audit', 'check']);
    await stand.link('P0', 'V0a', 'P1');
    expect(stand.challengesTo('P0')).toEqual([]);
    await stand.link('V1a');
    expect(stand.challengesTo('P0')).toHaveLength(1);
    expect(stand.verdicts).toEqual(['0-32 checked']);
  });

  test('nobody is challenged before the slowest replica of any stage has committed, whose signature is good', async () => {
    const stand = await linked();
    stand.isHeld = (from, message) => from === stand.at('V2a') && message.type === 'commit';
    await stand.feed(tokens(32));
    expect(stand.challengesTo('P0')).toEqual([]);
    stand.isVerifying = false;
    await stand.release();
    expect(stand.challengesTo('P0')).toEqual([]);
  });

  test('a later span whose commits are all there waits for the challenge of the one before', async () => {
    const stand = await linked();
    stand.isHeld = (from, message) =>
      from === stand.at('V1a') && message.type === 'commit' && message.commit.statement.index === 1;
    await stand.feed(tokens(96));
    expect(stand.challengesTo('P1')).toEqual([]);
    await stand.release();
    expect(stand.challengesTo('P1').map(({ index }) => index)).toEqual([1, 2, 3]);
    expect(stand.verdicts).toHaveLength(3);
  });

  test('a later span may be revealed first, and is judged after the one before', async () => {
    const stand = await linked();
    stand.isHeld = (from, message) =>
      from === stand.at('P0') && message.type === 'reveal' && message.reveal.statement.index === 1;
    await stand.feed(tokens(64));
    expect(stand.challengesTo('V0a')).toHaveLength(2);
    expect(stand.verdicts).toEqual([]);
    await stand.release();
    expect(stand.verdicts).toEqual(['0-32 checked', '32-64 checked']);
  });

  test('the challenge carries the requester’s own commit, of the logits it got and the tokens it sent', async () => {
    const stand = await linked([1, 1]);
    stand.sent.length = 0;
    await stand.feed(tokens(32));
    const { commit } = stand.challengesTo('V1a')[0]!;
    expect(commit.statement).toMatchObject({ stage: 2, index: 1, start: 0, end: 32 });
    expect(commit.publicKey).toEqual(stand.requester.publicKey);
    const [hidden] = stand.checked[0]!.stages;
    expect(hidden!.tier).toBe('checked');
  });

  test('a replica is asked for no more than 16 spans at once, and who others hold back is not behind', async () => {
    const stand = new AuditStand([1, 1]);
    await stand.link('P0', 'P1', 'V0a');
    await stand.feed(tokens(32 * 24));
    expect(stand.checksTo('P0')).toHaveLength(16);
    await stand.link('V1a');
    expect(stand.faults).toEqual([]);
    expect(stand.verdicts).toHaveLength(24);
    expect(stand.checksTo('P0')).toHaveLength(24);
  });

  test('after its last seed the session closes no more spans and says so', async () => {
    const stand = await linked([1]);
    for (let i = 0; i < MAX_CHECKS; i++) {
      await stand.feed(tokens(1, i));
      await stand.tell((audit) => audit.closeSpan());
      if (i % 31 === 30) await stand.cut(0);
    }
    expect(stand.book.isSpent).toBe(true);
    expect(stand.checked).toHaveLength(MAX_CHECKS);
    await stand.feed(tokens(64));
    await stand.pass(60_000);
    expect(stand.checked).toHaveLength(MAX_CHECKS);
    expect(stand.faults).toEqual([]);
  });
});

describe('a cut', () => {
  test('goes back into what was checked, and the next span begins there', async () => {
    const stand = await linked();
    await stand.feed(tokens(60));
    await stand.tell((audit) => audit.closeSpan());
    expect(stand.book.verdicts.end).toBe(60);
    await stand.cut(50);
    expect(stand.book.verdicts.end).toBe(50);
    await stand.feed(tokens(20, 100));
    await stand.tell((audit) => audit.closeSpan());
    expect(stand.verdicts.slice(2)).toEqual(['50-64 checked', '64-70 checked']);
    expect(stand.checksTo('V0a').map(({ epoch }) => epoch)).toEqual([0, 0, 1, 1]);
    expect(stand.faults).toEqual([]);
  });

  test('in the middle of a span that nobody knows the seed of makes it void; what is left is checked again', async () => {
    const stand = await linked();
    await stand.feed(tokens(40));
    stand.isHeld = (from) => from === stand.at('V1a');
    await stand.decode(tokens(24, 40));
    expect(stand.verdicts).toEqual(['0-32 checked']);
    await stand.cut(50);
    await stand.release();
    expect(stand.faults).toEqual([]);
    await stand.decode(tokens(14, 200));
    expect(stand.verdicts).toEqual(['0-32 checked', '32-64 checked']);
    expect(stand.checksTo('P0').map(({ index, start, end }) => [index, start, end])).toEqual([
      [1, 0, 32],
      [2, 32, 64],
      [3, 32, 64],
    ]);
  });

  test('in the middle of a challenged span lets it be judged as far as it is left', async () => {
    const stand = await linked();
    stand.isHeld = (from, message) => from === stand.at('V1a') && message.type === 'reveal';
    await stand.feed(tokens(32));
    const reveals = stand.at('V1a');
    expect(stand.challengesTo('V1a')).toHaveLength(1);
    await stand.cut(20);
    await stand.release();
    expect(reveals.stage).toBe(1);
    expect(stand.verdicts).toEqual(['0-20 checked']);
    await stand.feed(tokens(12, 300));
    expect(stand.verdicts).toEqual(['0-20 checked', '20-32 checked']);
    expect(stand.faults).toEqual([]);
  });

  test('that takes away the rows of a difference hides nothing: neither of the two is gone on with', async () => {
    const stand = await linked();
    const liar = stand.at('V1a');
    liar.lies.output = (row) => row.map((x) => -x);
    stand.isHeld = (from, message) => from === liar && message.type === 'reveal';
    await stand.feed(tokens(32));
    liar.lies = {};
    await stand.cut(20);
    await stand.release();
    expect(stand.disputes).toEqual([]);
    expect(stand.faults).toEqual(['P1 disagreement (V1a)']);
    expect(stand.verdicts).toEqual([]);
    expect(stand.audit.isOver).toBe(true);
  });

  test('before the open span drops what was not closed', async () => {
    const stand = await linked();
    await stand.feed(tokens(20));
    await stand.cut(12);
    await stand.pass(2_000);
    expect(stand.verdicts).toEqual(['0-12 checked']);
  });
});

function thirdOf(stand: AuditStand): Third {
  return { by: { id: stand.requester.id, role: 'arbiter', numericClass: 'wasm' }, draws: null };
}

describe('a difference', () => {
  async function disputed(shadows = [1, 1, 1]): Promise<AuditStand> {
    const stand = await linked(shadows);
    stand.at('V1a').lies.output = (row) => row.map((x) => x * 1.5);
    await stand.feed(tokens(64));
    return stand;
  }

  test('holds back its span and those after it until it is settled', async () => {
    const stand = await disputed();
    expect(stand.faults).toEqual([]);
    expect(stand.verdicts).toEqual([]);
    expect(stand.disputes).toHaveLength(1);
    const [dispute] = stand.disputes;
    expect(dispute).toMatchObject({
      stage: 1,
      span: { index: 1, start: 0, end: 32 },
      finding: { outcome: 'rejected' },
    });
    expect(stand.nameOf(dispute!.primary.peer)).toBe('P1');
    expect(stand.nameOf(dispute!.shadow.peer)).toBe('V1a');
    expect(stand.challengesTo('P0')).toHaveLength(2);
  });

  test('that the shadow is wrong in drops it, and its stage is unchecked from the next span on', async () => {
    const stand = await disputed();
    await stand.tell((audit) => audit.settled({ index: 1, stage: 1, wrong: 'shadow', third: thirdOf(stand) }));
    expect(stand.isClosed('V1a')).toBe(true);
    expect(stand.audit.isStageBare(1)).toBe(true);
    expect(stand.verdicts).toEqual(['0-32 settled', '32-64 unchecked']);
    expect(stand.checked[0]!.stages[1]!.arbiter?.role).toBe('arbiter');
    // The settling names the shadow; to the audit it is no failure without a third.
    expect(stand.faults).toEqual([]);
  });

  test('that nobody is wrong in keeps the shadow', async () => {
    const stand = await disputed();
    await stand.tell((audit) => audit.settled({ index: 1, stage: 1, wrong: 'nobody', third: thirdOf(stand) }));
    expect(stand.isClosed('V1a')).toBe(false);
    expect(stand.verdicts).toEqual(['0-32 settled']);
    expect(stand.disputes.map(({ span }) => span.index)).toEqual([1, 2]);
  });

  test('with each of two shadows is settled one after the other', async () => {
    const stand = await linked([1, 2]);
    for (const name of ['V1a', 'V1b']) stand.at(name).lies.output = (row) => row.map((x) => x * 1.5);
    await stand.feed(tokens(32));
    expect(stand.disputes).toHaveLength(1);
    await stand.tell((audit) => audit.settled({ index: 1, stage: 1, wrong: 'shadow', third: thirdOf(stand) }));
    expect(stand.disputes.map(({ shadow }) => stand.nameOf(shadow.peer))).toEqual(['V1a', 'V1b']);
    expect(stand.verdicts).toEqual([]);
    await stand.tell((audit) => audit.settled({ index: 1, stage: 1, wrong: 'shadow', third: thirdOf(stand) }));
    expect(stand.verdicts).toEqual(['0-32 settled']);
  });

  test('with a shadow that merely doubts the primary ends with whoever cleared it', async () => {
    const stand = await linked([2, 1], 'webgpu/toy');
    for (const name of ['V0a', 'V0b'])
      stand.at(name).lies.output = (row) => row.map((x, i) => x + (i % 2 ? 0.002 : -0.002));
    await stand.feed(tokens(32));
    expect(stand.disputes.map(({ finding }) => finding.outcome)).toEqual(['suspect']);
    await stand.tell((audit) => audit.settled({ index: 1, stage: 0, wrong: 'nobody', third: thirdOf(stand) }));
    expect(stand.disputes).toHaveLength(1);
    expect(stand.verdicts).toEqual(['0-32 settled']);
  });

  test('is not settled twice', async () => {
    const stand = await disputed();
    const settled = { index: 1, stage: 1, wrong: 'shadow', third: thirdOf(stand) } as const;
    await stand.tell((audit) => audit.settled(settled));
    await stand.tell((audit) => audit.settled(settled));
    await stand.tell((audit) => audit.settled({ ...settled, index: 9 }));
    expect(stand.bare.map((peer) => stand.nameOf(peer))).toEqual(['V1a']);
    expect(stand.verdicts).toHaveLength(2);
  });
});

describe('the sampled token', () => {
  test('is held against what the shadow’s logits would have given, and where they differ a referee is asked', async () => {
    const stand = await linked([1, 1], 'webgpu/toy');
    stand.sampling = { temperature: 0, topP: 1, seed: 0 };
    stand.at('V1a').lies.output = (row) => row.map((x, i) => x * (1 + (i % 2 ? 1e-6 : -1e-6)));
    // The tokens fed are none that greedy sampling would have taken.
    await stand.feed(tokens(32), 0);
    const { about, finding } = stand.disputes[0]!;
    expect(about).toBe('draw');
    expect(finding.closeness.max).toBeLessThan(1e-4);
    expect(finding.closeness.tokenGap).toBeGreaterThan(0.1);
    expect(finding).toMatchObject({ outcome: 'agreed', draws: { drawn: 31, firstLost: 1 } });
    expect(stand.verdicts).toEqual([]);
  });

  test('is held against them as well where it ends the answer and is not fed', async () => {
    const stand = await linked([1, 1], 'webgpu/toy');
    stand.sampling = { temperature: 0, topP: 1, seed: 0 };
    stand.at('V1a').lies.output = (row) => row.map((x, i) => x * (1 + (i % 2 ? 1e-6 : -1e-6)));
    await stand.feed(tokens(20));
    stand.last = 0;
    await stand.tell((audit) => audit.closeSpan());
    expect(stand.disputes[0]).toMatchObject({ about: 'draw', finding: { draws: { drawn: 1, firstLost: 20 } } });
  });

  test('counts for nothing where it was not sampled', async () => {
    const stand = await linked([1, 1], 'webgpu/toy');
    stand.at('V1a').lies.output = (row) => row.map((x, i) => x * (1 + (i % 2 ? 1e-6 : -1e-6)));
    await stand.feed(tokens(32), 0);
    expect(stand.verdicts).toEqual(['0-32 checked']);
    expect(stand.checked[0]!.stages[1]!.findings[0]).toMatchObject({ closeness: { tokenGap: 0 }, draws: null });
  });
});
