import { describe, expect, it } from 'vitest';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { formerThresholdFor } from '#shared/judge/thresholds.ts';
import type { ReceiptFile, ReceiptStatement } from '#shared/receipt/receipt.ts';
import type { CheckName } from '#shared/receipt/verify/check.ts';
import { FORMER_RECEIPT_TYPE } from '#shared/receipt/statement-form.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { giveAnswer, makePeople, makeReceipt, retold } from '../../../support/receipts.ts';

type Predicate = ReceiptStatement['predicate'];

const MADE_UP = 'webgpu/apple/m9';
const people = await makePeople();
const given = await giveAnswer(people);
const receipt = await makeReceipt(given);
const { answer, prompt, salt, tokens } = given;

async function failures(change: (predicate: Predicate, statement: ReceiptStatement) => unknown): Promise<CheckName[]> {
  const told = await retold(people, receipt, (statement) => void change(statement.predicate, statement));
  const isFormer = statementTypeOf(told) === FORMER_RECEIPT_TYPE;
  const changed: ReceiptFile = isFormer ? { ...told, format: 'chorus-receipt/1' } : told;
  const { checks } = await verifyReceipt({ receipt: changed, answer, prompt, salt, tokens, verify });
  return checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
}

function statementTypeOf({ envelope }: ReceiptFile): unknown {
  return (JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as { predicateType: unknown }).predicateType;
}

const finding = ({ spans }: Predicate, stage: number) => spans[1]!.stages[stage]!.findings[0]!;

/** All of the last stage bear a class that nobody measured. */
function makeUp({ stages, spans }: Predicate): void {
  for (const replica of stages[1]!.replicas) replica.numericClass = MADE_UP;
  for (const { stages: judged } of spans) judged[1]!.findings[0]!.limits.isMeasured = false;
}

describe('a requester that says of the tokens drawn what is not so', () => {
  it.each<[string, CheckName[], (predicate: Predicate) => unknown]>([
    [
      'more tokens lost than drawn',
      ['verdict'],
      (said) => (finding(said, 1).draws = { drawn: 0, lost: 1, firstLost: 40 }),
    ],
    [
      'more tokens drawn than logits were asked for',
      ['verdict'],
      (said) => (finding(said, 1).draws = { drawn: 33, lost: 0, firstLost: null }),
    ],
    [
      'a token lost outside of its span',
      ['verdict'],
      (said) => (finding(said, 1).draws = { drawn: 1, lost: 1, firstLost: 65 }),
    ],
    [
      'a token lost, and nobody exact to say whose goes on',
      ['verdict'],
      (said) => (finding(said, 1).draws = { drawn: 1, lost: 1, firstLost: 40 }),
    ],
    [
      'a token drawn by a device of no exact class',
      ['verdict'],
      (said) => {
        finding(said, 1).draws = { drawn: 1, lost: 1, firstLost: 64 };
        said.spans[1]!.stages[1]!.drawnBy = finding(said, 1).shadow;
      },
    ],
    ['why a part is unchecked that is not', ['verdict'], ({ spans }) => (spans[0]!.stages[0]!.reason = 'draws-differ')],
  ])('fails by name: %s', async (_, names, change) => {
    expect(await failures(change)).toEqual(names);
  });

  it('fails where two of a class that nobody measured are said to make a part checked', async () => {
    const others: CheckName[] = ['route-match', 'attestation-match', 'verdict', 'thresholds'];
    expect(await failures(makeUp)).toEqual(others);
  });
});

describe('a receipt of the sampler before', () => {
  it('is held to the limits and rules of its time', async () => {
    const found = await failures((said, statement) => {
      Object.assign(statement, { predicateType: FORMER_RECEIPT_TYPE });
      Reflect.deleteProperty(said.request.sampling, 'sampler');
      makeUp(said);
      for (const { stages } of said.spans) {
        const { isRefused: _, ...limits } = formerThresholdFor(MADE_UP, MADE_UP, 'logits', said.model);
        Object.assign(stages[1]!.findings[0]!, { limits });
      }
    });
    // The signed classes are others, and so is what version 2 makes of the prompt, of records and of entries in the log.
    expect(found).toEqual(['prompt', 'route-match', 'attestation-match', 'log-inclusion']);
  });

  it('is not held to the rules of its time where it names the sampler that came after', async () => {
    const found = await failures((said) => {
      makeUp(said);
      for (const { stages } of said.spans) {
        const { isRefused: _, ...limits } = formerThresholdFor(MADE_UP, MADE_UP, 'logits', said.model);
        Object.assign(stages[1]!.findings[0]!, { limits });
      }
    });
    expect(found).toEqual(['route-match', 'attestation-match', 'verdict', 'thresholds']);
  });
});
