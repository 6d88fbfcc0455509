import { openDB } from 'idb';
import { expect, test } from 'vitest';
import { createIdbConversationStore } from '../../../web/browser/idb-conversation-store.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { StorageHealth } from '../../../web/browser/storage-health.ts';
import type { KeptId } from '../../../web/conversations/kept-conversation.ts';
import { ShownAnswer } from '../../../web/state/conversation/answer.svelte.ts';
import { liarEvents } from '../../support/page-gallery/check-fixtures.ts';
import { keptConversations } from '../../support/page-gallery/conversation-fixtures.ts';
import { receiptOutcomes } from '../../support/page-gallery/receipt-fixtures.ts';

let databases = 0;

/** The store as two tabs have it; `heard` has what the second was told. */
function openTwice() {
  const name = `test-conversations-${databases++}`;
  const heard: (KeptId | null)[] = [];
  const faults: string[] = [];
  const open = (onChange: (deleted: KeptId | null) => void = () => undefined) =>
    createIdbConversationStore({
      clock: pageClock(),
      onNotKept: (fault) => faults.push(fault),
      onChange,
      name,
      health: new StorageHealth(),
    });
  return { name, heard, faults, mine: open(), theirs: open((deleted) => heard.push(deleted)) };
}

test('what one tab keeps another finds, with the checks, the receipt and the salt of its answers', async () => {
  const { mine, theirs, faults } = openTwice();
  const [conversation] = keptConversations(Date.now());
  await mine.conversations.put(conversation!.id, conversation!);
  expect([...(await theirs.conversations.all()).values()]).toEqual([conversation]);

  const answer = new ShownAnswer(0);
  for (const event of liarEvents()) answer.apply(event, 10);
  answer.apply({ type: 'receipt', ...receiptOutcomes()['receipt']! }, 10);
  const [turn] = conversation!.turns;
  await mine.evidence.put(turn!.id, answer.evidence);
  expect(await theirs.evidence.get(turn!.id)).toEqual(answer.evidence);
  expect(answer.evidence.routes.flatMap((route) => route.faults)).not.toEqual([]);
  expect(faults).toEqual([]);
});

test('a record that was damaged counts as absent, and takes no other with it', async () => {
  const { name, mine } = openTwice();
  const [good, bad] = keptConversations(Date.now());
  for (const each of [good!, bad!]) await mine.conversations.put(each.id, each);
  const database = await openDB(`${name}-texts`);
  await database.put('texts', { ...bad, turns: [{ question: 7 }] }, bad!.id);
  database.close();
  expect([...(await mine.conversations.all()).keys()]).toEqual([good!.id]);
  expect(await mine.conversations.get(bad!.id)).toBeNull();
});

test('other tabs are told of a change, and nonsense on the channel is heard by nobody', async () => {
  const { name, mine, heard } = openTwice();
  const channel = new BroadcastChannel(name);
  for (const nonsense of [null, 'x', { deleted: 7 }]) channel.postMessage(nonsense);
  mine.announce('a'.repeat(16) as KeptId);
  mine.announce(null);
  await expect.poll(() => heard).toEqual(['a'.repeat(16), null]);
  channel.close();
});

test('work of one name is done in one tab at a time', async () => {
  const { mine, theirs } = openTwice();
  const done: string[] = [];
  const waiting = async () => (await navigator.locks.query()).pending?.length;
  const first = mine.exclusively(async () => {
    done.push('mine begins');
    await expect.poll(waiting).toBe(1);
    done.push('mine ends');
  });
  const second = theirs.exclusively(() => Promise.resolve(void done.push('theirs begins', 'theirs ends')));
  await Promise.all([first, second]);
  expect(done).toEqual(['mine begins', 'mine ends', 'theirs begins', 'theirs ends']);
});
