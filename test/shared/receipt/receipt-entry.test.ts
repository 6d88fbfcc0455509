import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '#shared/bytes.ts';
import { parseReceiptEntry, receiptEntry } from '#shared/receipt/receipt-entry.ts';
import { codeOf } from '../../support/code-of.ts';
import { giveAnswer, makePeople, makeReceipt, statementOf } from '../../support/receipts.ts';

const people = await makePeople();
const receipt = await makeReceipt(await giveAnswer(people));
const entry = receiptEntry(receipt);
const text = new TextDecoder().decode(entry);

describe('the log’s entry of a receipt', () => {
  it('is nine lines that say nothing of prompt and answer', () => {
    const lines = text.split('\n');
    expect(lines).toHaveLength(10);
    expect(lines[0]).toBe('chorus-receipt-entry/2');
    const { session } = statementOf(receipt).predicate;
    expect(lines.slice(3)).toEqual(['checked', people.requester.id, '2026-03-01T12:00:09Z', session, '1', '-', '']);
    expect(parseReceiptEntry(entry)).toMatchObject({ tier: 'checked', requester: people.requester.id });
    expect(parseReceiptEntry(entry).record).toEqual({ session, number: 1, previous: null });
  });

  it('names the receipt before it', () => {
    const { record } = parseReceiptEntry(utf8(text.replace('\n1\n-\n', `\n2\n${'ab'.repeat(32)}\n`)));
    expect(record).toMatchObject({ number: 2, previous: 'ab'.repeat(32) });
  });

  it('of version 1 is the first six lines, and has no place in its session', () => {
    const former = text.replace('/2', '/1').split('\n').slice(0, 6).join('\n');
    expect(parseReceiptEntry(utf8(`${former}\n`))).toMatchObject({ tier: 'checked', record: null });
  });

  it('does not depend on whether the receipt has its proof', () => {
    expect(receiptEntry({ ...receipt, proof: null })).toEqual(entry);
  });

  it.each([
    ['a header of another form', text.replace('/2', '/3')],
    ['the header of version 1', text.replace('/2', '/1')],
    ['a record 0', text.replace('\n1\n-', '\n0\n-')],
    ['a record beyond those of a session', text.replace('\n1\n-', '\n129\n-')],
    ['a receipt before it that is none', text.replace('\n-\n', '\nx\n')],
    ['a session that is none', text.replace(/\n0123/, '\n012x')],
    ['an id that is none', text.replace(/\n./, '\nx')],
    ['a tier that is none', text.replace('checked', 'perfect')],
    ['a time with an offset', text.replace('Z\n', '+01:00\n')],
    ['a time that is none', text.replace('2026-03', '2026-13')],
    ['a line more', `${text}x\n`],
    ['no end', text.slice(0, -1)],
  ])('is not read with %s', (_, changed) => {
    expect(codeOf(() => parseReceiptEntry(utf8(changed)))).toBe('bad-message');
  });

  it('is read in one way only', () => {
    const mark = Uint8Array.of(0xef, 0xbb, 0xbf);
    expect(codeOf(() => parseReceiptEntry(concatBytes(mark, entry)))).toBe('bad-message');
    expect(codeOf(() => parseReceiptEntry(concatBytes(entry, Uint8Array.of(0xff))))).toBe('bad-message');
  });
});
