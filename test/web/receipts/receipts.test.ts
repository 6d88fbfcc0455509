import { beforeAll, describe, expect, it } from 'vitest';
import { formatVerifierKey } from '#shared/log/signed-note.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';
import { policyOfServer } from '../../../web/receipts/log-policy.ts';
import { drawnLayers, toReceiptStages, toSpanChecks } from '../../../web/receipts/receipt-view.ts';
import { verifyHere } from '../../../web/receipts/verify-here.ts';
import { CHECK_GROUPS, explainVerification, printable } from '../../../web/words/explain-receipt.ts';
import {
  giveAnswer,
  LOG_NAME,
  makePeople,
  makeReceipt,
  policyOf,
  retold,
  WITNESSES,
  type People,
} from '../../support/receipts.ts';
import { logKeyOf, witnessKeyOf } from '../../support/signed-notes.ts';

let people: People;
let receipt: Awaited<ReturnType<typeof makeReceipt>>;
let good: Verification;
beforeAll(async () => {
  people = await makePeople();
  receipt = await makeReceipt(await giveAnswer(people));
  good = await verifyHere({ receipt });
});

describe('the words for a verification', () => {
  it('name every check once', () => {
    const named = CHECK_GROUPS.flatMap(({ names }) => names);
    expect([...named].sort()).toEqual(good.checks.map(({ name }) => name).sort());
  });

  it('begin with what is wrong, and call nothing good then', async () => {
    const bad = await verifyHere({ receipt, answer: 'The wren is large.' });
    expect(explainVerification(bad)).toEqual({
      tone: 'danger',
      title: 'This is not the answer that the receipt is about',
      text: 'One check failed. Do not rely on what it says.',
    });
    expect(explainVerification(await verifyHere({ receipt: 'Hello' })).title).toBe('This file is no receipt');
  });

  it('say of a good receipt what was not at hand', () => {
    expect(explainVerification(good)).toMatchObject({ title: 'Checked, on the word of those who signed it' });
    expect(explainVerification(good).text).toContain('for 7 something is not at hand');
  });

  it('tell on whose word it rests, and are calm only where a log that somebody named has it', async () => {
    const { tone, text } = explainVerification(good);
    expect([tone, text]).toEqual(['warm', expect.stringContaining('None of these keys is one that you named')]);
    const logged = explainVerification(await verifyHere({ receipt, policy: policyOf(people) }));
    expect([logged.tone, logged.text]).toEqual(['calm', expect.stringContaining('A log of your policy has it')]);
    expect(logged.text).toContain('On the requester’s word alone: which prompt was asked');
  });

  it('do not praise a receipt of work that nobody checked', () => {
    const bare = { ...good, summary: { ...good.summary!, tier: 'unchecked' as const } };
    expect(explainVerification(bare)).toMatchObject({ tone: 'warm' });
    expect(explainVerification(bare).title).toContain('not all work was checked');
  });

  it('show no characters that move others about', () => {
    expect(printable('a\u202eb\u0007c\u2066')).toBe('a\ufffdb\ufffdc\ufffd');
  });
});

describe('the picture of a receipt', () => {
  it('tells who ran and re-ran each stage, and in how many parts they agreed', () => {
    const spans = good.summary!.spans.length;
    const [first, second] = toReceiptStages(good.summary!);
    expect(first!.replicas.map(({ id, role }) => [id, role])).toEqual([
      [people.replicas[0].id, 'primary'],
      [people.replicas[1].id, 'shadow'],
    ]);
    expect(second!.replicas[1]).toMatchObject({ hasSigned: true, agreed: spans, compared: spans });
  });

  it('shows who settled a difference as somebody who signed nothing', () => {
    const arbiter = { id: people.log.id, role: 'referee' as const, numericClass: 'wasm' };
    const [span, ...others] = good.summary!.spans;
    const settled = { ...span!, stages: span!.stages.map((stage) => ({ ...stage, arbiter })) };
    const [first] = toReceiptStages({ ...good.summary!, spans: [settled, ...others] });
    expect(first!.replicas[2]).toMatchObject({ role: 'third', id: people.log.id, hasSigned: false, agreed: 1 });
  });

  it('can be drawn of a receipt that claims what is not so', async () => {
    const hostile = await retold(people, receipt, ({ predicate }) => {
      predicate.model.layers = 1_000_000_000;
      const [stage] = predicate.spans[0]!.stages;
      predicate.spans[0]!.stages.push({ ...stage!, stage: 40 });
      stage!.findings.push(...stage!.findings);
    });
    const verification = await verifyHere({ receipt: hostile });
    expect(verification.isValid).toBe(false);
    expect(drawnLayers(verification.summary!)).toBe(256);
    const [check] = toSpanChecks(verification.summary!);
    expect(check!.stages.map(({ stage, findings }) => [stage, findings.length])).toEqual([
      [0, 1],
      [1, 1],
    ]);
  });
});

describe('a policy of what the server names', () => {
  it('shows who signed without asking for anybody', async () => {
    const witnesses = people.witnesses.map((each, i) => ({
      ...{ name: 'any', size: null, cosignedAtMs: null, error: null },
      vkey: formatVerifierKey(witnessKeyOf(each, WITNESSES[i]!)),
    }));
    const vkey = formatVerifierKey(logKeyOf(people.log, LOG_NAME));
    const policy = policyOfServer({ vkey, witnesses })!;
    const { isValid, summary } = await verifyHere({ receipt, policy });
    expect(isValid).toBe(true);
    expect(summary?.witnesses.map(({ name }) => name)).toEqual(WITNESSES);
    const alone = await verifyHere({ receipt, policy: policyOfServer({ vkey, witnesses: [] })! });
    expect(alone.isValid).toBe(true);
  });

  it('is none where something named is no key', () => {
    expect(policyOfServer({ vkey: 'log.example\nquorum none', witnesses: [] })).toBeNull();
  });
});
