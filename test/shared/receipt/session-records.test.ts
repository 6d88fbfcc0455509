import { describe, expect, it } from 'vitest';
import type { Digest, SessionId } from '#shared/ids.ts';
import type { SessionRecord } from '#shared/receipt/receipt-entry.ts';
import { contradictionBetween } from '#shared/receipt/session-records.ts';
import { madeEntry } from '../../support/log-entries.ts';

const session = '0'.repeat(32) as SessionId;
const entryOf = (n: number, record: Partial<SessionRecord>) =>
  madeEntry(n, { record: { session, number: n, previous: n > 1 ? madeEntry(n - 1).id : null, ...record } });
const other = 'ab'.repeat(32) as Digest;
const own = entryOf(3, {});

describe('two receipts of one session', () => {
  it.each([
    ['the same', own, null],
    ['one of the same number', entryOf(9, { number: 3 }), 'same-number'],
    ['the one before it', entryOf(2, {}), null],
    ['another before it', entryOf(8, { number: 2 }), 'other-before'],
    ['the one after it', entryOf(4, {}), null],
    ['one after it that follows another', entryOf(4, { previous: other }), 'other-after'],
    ['one much later', entryOf(7, { previous: other }), null],
    ['one of another session', entryOf(9, { number: 3, session: '1'.repeat(32) as SessionId }), null],
    ['one of version 1', madeEntry(9), null],
  ])('contradict each other or not: %s', (_, entry, contradiction) => {
    expect(contradictionBetween(own, entry)).toBe(contradiction);
  });
});
