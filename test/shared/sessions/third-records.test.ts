import { expect, it } from 'vitest';
import { checkedNetwork, prompt, scaled } from '../../support/checked-network.ts';
import { GREEDY } from '../../support/toy-model.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

it('a third that settles a difference signs what it computed, and the receipt has that', async () => {
  const network = checkedNetwork();
  for (const volunteer of network.of(0)) volunteer.numericClass = 'webgpu/google/swiftshader';
  network.of(0)[1]!.compute.tamper = scaled(1.0002, 0);
  const ask = { promptTokens: prompt(40), maxNewTokens: 4, sampling: GREEDY };
  const { events } = await network.ask(network.conversation(), ask);
  const { predicate, verification } = await receiptOf(evidenceOf(events));
  const thirds = predicate.spans.flatMap(({ stages }) => stages.flatMap(({ arbiter }) => arbiter ?? []));
  expect(thirds.length).toBeGreaterThan(0);
  expect(thirds.filter(({ signed }) => !signed)).toEqual([]);
  expect(failedChecks(verification)).toEqual([]);
  const settled = predicate.spans.filter(({ stages }) => stages[0]!.arbiter !== null);
  expect(settled.map(({ stages }) => stages[0]!.tier)).toEqual(settled.map(() => 'settled'));
});
