import { beforeAll, describe, expect, it } from 'vitest';
import { buildReceipt, signReceipt } from '#shared/receipt/build/build-receipt.ts';
import type { ReceiptStatement } from '#shared/receipt/receipt.ts';
import { checkSize } from '../../../signal-server/receipts/check-size.ts';
import { codeOf } from '../../support/code-of.ts';
import { giveAnswer, makePeople, type People } from '../../support/receipts.ts';

let people: People;
let honest: ReceiptStatement;

beforeAll(async () => {
  people = await makePeople();
  honest = await buildReceipt((await giveAnswer(people)).parts);
});

async function checked(change: (predicate: ReceiptStatement['predicate']) => void): Promise<() => void> {
  const statement = structuredClone(honest);
  change(statement.predicate);
  const file = await signReceipt(statement, people.requester);
  return () => checkSize(file, statement);
}

describe('the size of a receipt', () => {
  it('may be what a slow answer needs, each of whose positions was checked by itself', async () => {
    const check = await checked((predicate) => {
      const [span] = predicate.spans;
      predicate.spans = Array.from({ length: predicate.positions }, (_, at) => ({ ...span!, start: at, end: at + 1 }));
      for (const stage of predicate.stages) {
        for (const replica of stage.replicas) replica.numericClass = 'webgpu/'.padEnd(200, 'x');
      }
    });
    expect(check).not.toThrow();
  });

  it('may have what its form allows of faults', async () => {
    const fault = {
      volunteer: people.log.id,
      stage: 0,
      role: 'primary' as const,
      code: 'x'.repeat(40),
      isProven: false,
    };
    const check = await checked((predicate) => (predicate.faults = Array.from({ length: 256 }, () => fault)));
    expect(check).not.toThrow();
  });

  it('is refused where positions and stages do not need it', async () => {
    const run = { start: 0, count: 1, logits: 0, times: 1 };
    const check = await checked((predicate) => (predicate.runs = Array.from({ length: 16_000 }, () => run)));
    expect(codeOf(check)).toBe('bad-message');
  });
});
