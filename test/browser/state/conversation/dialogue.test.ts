import { beforeEach, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { ChatMessage } from '#shared/text/model-text.ts';
import type { KeptId } from '../../../../web/conversations/kept-conversation.ts';
import { pageClock } from '../../../../web/browser/page-clock.ts';
import type { AnswerOptions, Chat, ChatEvent } from '../../../../web/state/conversation/chat.ts';
import { Dialogue } from '../../../../web/state/conversation/dialogue.svelte.ts';
import { KeptConversations } from '../../../../web/state/conversation/kept-conversations.svelte.ts';
import { Models } from '../../../../web/state/models.svelte.ts';
import { openInTab } from '../../../../web/state/open-in-tab.ts';
import { Settings } from '../../../../web/state/settings.svelte.ts';
import { memoryConversationStore } from '../../../support/memory-conversation-store.ts';
import { storyEvents } from '../../../support/page-gallery/check-fixtures.ts';
import { WREN } from '../../../support/page-gallery/fixtures.ts';
import { receiptOutcomes } from '../../../support/page-gallery/receipt-fixtures.ts';

interface Asked {
  readonly messages: readonly ChatMessage[];
  readonly options: AnswerOptions;
}

let store: ReturnType<typeof memoryConversationStore>;
beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
  store = memoryConversationStore();
});

/**
 * A tab whose chats answer with `answer`; `asked` has what they were asked, `counts` how many were opened and closed. Another
 * one over the same store is the tab after a reload, or a tab beside it.
 */
function setUp(
  answer: (asked: Asked) => AsyncGenerator<ChatEvent>,
  fetchModels: () => Promise<readonly (typeof WREN)[]> = () => Promise.resolve([WREN]),
) {
  const settings = new Settings(localStorage);
  const asked: Asked[] = [];
  const counts = { opened: 0, closed: 0 };
  const kept = new KeptConversations(store);
  const conversation = new Dialogue({
    models: new Models(fetchModels, settings),
    settings,
    kept,
    tab: openInTab(sessionStorage),
    clock: pageClock(),
    random: (count) => (count === 4 ? new Uint8Array(4).fill(1) : crypto.getRandomValues(new Uint8Array(count))),
    prefetch: () => undefined,
    openChat: (): Promise<Chat> => {
      counts.opened++;
      return Promise.resolve({
        answer(messages, options) {
          asked.push({ messages, options });
          return answer({ messages, options });
        },
        close: () => counts.closed++,
      });
    },
  });
  return { conversation, kept, settings, asked, counts };
}

async function* story(): AsyncGenerator<ChatEvent> {
  yield* storyEvents();
}

async function* withReceipt(): AsyncGenerator<ChatEvent> {
  const events = storyEvents();
  yield* events.slice(0, -1);
  const end = events.at(-1)!;
  if (end.type === 'end') yield { ...end, hasEvidence: true };
  yield { type: 'receipt', ...receiptOutcomes()['receipt']! };
}

async function* untilStopped({ options }: Asked): AsyncGenerator<ChatEvent> {
  yield* storyEvents().slice(0, 5);
  if (!options.signal.aborted) await new Promise((resolve) => options.signal.addEventListener('abort', resolve));
  throw new ChorusError('cancelled', 'stopped');
}

const questionsOf = ({ turns }: Dialogue): string[] => turns.map(({ question }) => question);

test('the whole history goes with the second question, over the same chat', async () => {
  const { conversation, asked, counts } = setUp(story);
  await conversation.send('one');
  await conversation.send('two');
  expect(asked[1]?.messages.map(({ role, content }) => [role, content.slice(0, 4)])).toEqual([
    ['user', 'one'],
    ['assistant', 'Once'],
    ['user', 'two'],
  ]);
  expect(counts).toEqual({ opened: 1, closed: 0 });
});

test('a suggestion is asked at temperature 0, and a question of one’s own as it is set', async () => {
  const { conversation, asked, settings } = setUp(story);
  settings.ask.update({ temperature: 0.7 });
  await conversation.sendSuggestion('What is 17 plus 25?');
  await conversation.send('and 18 plus 26?');
  expect(asked.map(({ options }) => options.temperature)).toEqual([0, 0.7]);
});

test('the second answer shows the route that the session goes on with', async () => {
  const { conversation } = setUp(async function* () {
    yield* storyEvents().filter((event) => event.type !== 'routed' || conversation.turns.length === 1);
  });
  await conversation.send('one');
  await conversation.send('two');
  expect(conversation.last?.answer.route).not.toBeNull();
});

test('stop keeps what came and says that it was stopped', async () => {
  const { conversation } = setUp(untilStopped);
  const done = conversation.send('one');
  await expect.poll(() => conversation.last?.answer.text ?? '').not.toBe('');
  conversation.stop();
  await done;
  expect(conversation.last?.answer.endReason).toBe('cancelled');
  expect(conversation.isRunning).toBe(false);
});

test('stop does not wait for the list of models', async () => {
  const { conversation, counts } = setUp(story, () => new Promise(() => undefined));
  const done = conversation.send('one');
  conversation.stop();
  await done;
  expect([conversation.last?.answer.endReason, conversation.isRunning]).toEqual(['cancelled', false]);
  expect(counts).toEqual({ opened: 0, closed: 0 });
});

test('a question is not sent while an answer is being made', async () => {
  const { conversation, asked } = setUp(untilStopped);
  const done = conversation.send('one');
  await conversation.send('two');
  await expect.poll(() => asked.length).toBe(1);
  conversation.stop();
  await done;
});

test('an edited question is asked beside the one before, which stays with all that followed it', async () => {
  const { conversation, asked } = setUp(story);
  await conversation.send('one');
  await conversation.send('two');
  const [first] = conversation.turns;
  await conversation.sendEdited(first!, 'another one');
  expect(asked[2]?.messages.map(({ content }) => content)).toEqual(['another one']);
  expect(questionsOf(conversation)).toEqual(['another one']);
  expect(conversation.branchesAt(conversation.turns[0]!).map(({ question }) => question)).toEqual([
    'one',
    'another one',
  ]);
  conversation.choose(first!);
  expect(questionsOf(conversation)).toEqual(['one', 'two']);
});

test('asking again keeps the answer before, and leaves it out of the history', async () => {
  const { conversation, asked } = setUp(story);
  await conversation.send('one');
  await conversation.regenerate();
  expect(conversation.turns).toHaveLength(1);
  expect(asked[1]?.messages).toHaveLength(1);
  expect(conversation.branchesAt(conversation.last!)).toHaveLength(2);
});

test('a failure is shown in the answer and the next question opens a new chat', async () => {
  const { conversation, counts } = setUp(async function* () {
    throw new ChorusError('no-coverage', 'nobody');
    yield* [];
  });
  await conversation.send('one');
  expect(conversation.last?.answer.error?.code).toBe('no-coverage');
  await conversation.send('two');
  expect(counts).toEqual({ opened: 2, closed: 2 });
});

test('a conversation that is left gives its chat back at once', async () => {
  const { conversation, counts } = setUp(story);
  await conversation.send('one');
  conversation.startNew();
  expect([conversation.turns.length, counts.closed]).toEqual([0, 1]);
});

test('an answer goes on while another conversation is asked, and its chat is given back at its end', async () => {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const { conversation, counts } = setUp(async function* ({ messages }) {
    if (messages[0]?.content === 'one') await ended;
    yield* storyEvents();
  });
  const first = conversation.send('one');
  const { id } = conversation;
  conversation.startNew();
  expect([conversation.isRunning, conversation.isRunningIn(id)]).toEqual([false, true]);
  await conversation.send('two');
  expect(counts).toEqual({ opened: 2, closed: 0 });
  await conversation.open(id);
  expect([questionsOf(conversation), conversation.isRunning]).toEqual([['one'], true]);
  conversation.startNew();
  end();
  await first;
  expect(counts).toEqual({ opened: 2, closed: 2 });
  await conversation.open(id);
  expect(conversation.last?.answer.text).toContain('Once upon a time');
});

test('a reload brings the conversation back: texts, verdicts, checks, receipt and salt, and the branch that was shown', async () => {
  const before = setUp(withReceipt).conversation;
  await before.send('one');
  await before.send('two');
  await before.sendEdited(before.turns[1]!, 'two, but better');
  before.choose(before.branchesAt(before.last!)[0]!);
  await before.flush();

  const { conversation, counts } = setUp(story);
  await conversation.reopen();
  expect([conversation.status, conversation.title, questionsOf(conversation)]).toEqual([
    'shown',
    'one',
    ['one', 'two'],
  ]);
  expect(conversation.branchesAt(conversation.last!)).toHaveLength(2);
  const [was, is] = [before.last!.answer, conversation.last!.answer];
  for (const part of ['text', 'parts', 'tokens', 'tokensPerSecond', 'endReason', 'phase'] as const) {
    expect(is[part], part).toEqual(was[part]);
  }
  expect(is.checks.routes).toEqual(was.checks.routes);
  expect(is.evidence).toEqual(was.evidence);
  expect([is.checks.tier, is.checks.counts]).toEqual([was.checks.tier, was.checks.counts]);
  await conversation.send('three');
  expect(counts.opened).toBe(1);
});

test('a reload in mid-answer shows what had come, unchecked where it was not checked, and says that it was cut off', async () => {
  const { conversation: before } = setUp(untilStopped);
  void before.send('one');
  await expect.poll(() => before.last?.answer.text ?? '').not.toBe('');
  await before.flush();
  const { conversation } = setUp(story);
  await conversation.reopen();
  const { answer } = conversation.last!;
  expect(answer.text).toBe(before.last!.answer.text);
  expect([answer.phase, answer.endReason, answer.checks.tier]).toEqual(['done', 'interrupted', 'unchecked']);
  expect(answer.parts.map(({ tier }) => tier)).not.toContain(null);
  before.stop();
});

test('a reload that leaves the device no time to write loses no word of an answer', async () => {
  let goOn = (): void => undefined;
  const { conversation: before } = setUp(async function* ({ options }) {
    yield* storyEvents().slice(0, 5);
    await new Promise<void>((resolve) => (goOn = resolve));
    yield* storyEvents().slice(5, 9);
    yield* untilStopped({ messages: [], options });
  });
  void before.send('one');
  await expect.poll(() => before.last?.answer.text ?? '').not.toBe('');
  await before.flush();
  // What the device has from now on is not what that page writes.
  const written = (await store.conversations.get(before.id))!;
  store = memoryConversationStore();
  await store.conversations.put(before.id, written);
  const { tokens } = before.last!.answer;
  goOn();
  await expect.poll(() => before.last!.answer.tokens).toBeGreaterThan(tokens);
  void before.flush();
  const { conversation } = setUp(story);
  await conversation.reopen();
  const { answer } = conversation.last!;
  expect([answer.text, answer.endReason]).toEqual([before.last!.answer.text, 'interrupted']);
  before.stop();
});

test('what this tab had of an answer goes neither before its end nor before its deletion', async () => {
  const tab = setUp(story).conversation;
  await tab.send('one');
  await tab.send('two');
  await tab.flush();
  const { turns } = (await store.conversations.get(tab.id))!;
  const late = turns.map((turn) => ({ ...turn, answer: { ...turn.answer, state: 'running' as const, tokens: 999 } }));
  await tab.kept.recover(late.map((turn) => ({ conversation: tab.id, turn })));
  expect((await store.conversations.get(tab.id))?.turns).toEqual(turns);
  await tab.delete(tab.id);
  await tab.kept.recover(late.map((turn) => ({ conversation: tab.id, turn })));
  expect((await store.conversations.all()).size).toBe(0);
});

test('a question that is being edited is there after a reload, as it stood', async () => {
  const { conversation: before } = setUp(story);
  await before.send('one');
  await before.send('two');
  before.edited = { turn: before.turns[0]!.id, text: 'one, but bet' };
  await before.flush();
  const { conversation } = setUp(story);
  await conversation.reopen();
  expect(conversation.edited).toEqual(before.edited);
  conversation.startNew();
  await conversation.open(before.id);
  expect(conversation.edited).toBeNull();
});

test('a page that is reloaded on another view still has its conversation when it comes back to it', async () => {
  const { conversation: before } = setUp(story);
  await before.send('one');
  await before.flush();
  const { conversation: elsewhere } = setUp(story);
  await elsewhere.flush();
  elsewhere.draft = 'half';
  await elsewhere.flush();
  await elsewhere.reopen();
  expect(questionsOf(elsewhere)).toEqual(['one']);
});

test('what was not sent yet is there after a reload', async () => {
  const { conversation: before } = setUp(story);
  before.draft = 'half a ques';
  await before.flush();
  expect(setUp(story).conversation.draft).toBe('half a ques');
});

test('a question that was asked in vain is there to be asked again after a reload, unless another is begun', async () => {
  const fails = async function* (): AsyncGenerator<ChatEvent> {
    throw new TypeError('Failed to fetch dynamically imported module');
    yield* [];
  };
  const { conversation: before } = setUp(fails);
  await before.send('in vain');
  before.takeBackUnanswered();
  await before.flush();
  const { conversation } = setUp(fails);
  await conversation.reopen();
  expect([conversation.draft, questionsOf(conversation)]).toEqual(['in vain', ['in vain']]);
  expect(conversation.last?.answer.error?.raw).toContain('dynamically imported');
  conversation.draft = 'something else';
  conversation.takeBackUnanswered();
  expect(conversation.draft).toBe('something else');
});

test('a new tab begins with an empty conversation, and one that was deleted does not come back', async () => {
  const { conversation } = setUp(story);
  await conversation.reopen();
  expect([conversation.status, conversation.turns]).toEqual(['shown', []]);
  await conversation.send('one');
  const { id } = conversation;
  await conversation.delete(id);
  expect([conversation.turns, conversation.kept.total]).toEqual([[], 0]);
  await conversation.open(id);
  expect(conversation.status).toBe('missing');
  await conversation.open(null);
  expect(conversation.status).toBe('missing');
});

test('one that another tab deletes while it is written stays deleted', async () => {
  const { conversation, kept } = setUp(untilStopped);
  const done = conversation.send('one');
  await expect.poll(() => conversation.last?.answer.text ?? '').not.toBe('');
  const { id } = conversation;
  await store.conversations.delete(id);
  await conversation.heard(id);
  await done;
  await kept.load();
  expect([kept.total, await store.conversations.get(id)]).toEqual([0, null]);
  expect(conversation.turns).toEqual([]);
});

test('a title is kept by the answers that come after it', async () => {
  const { conversation, kept } = setUp(story);
  await conversation.send('one');
  await conversation.rename(conversation.id, 'A better name');
  await conversation.send('two');
  await kept.load();
  expect([conversation.title, kept.list[0]?.title]).toEqual(['A better name', 'A better name']);
});

test('two tabs that ask in one conversation keep what both asked', async () => {
  const { conversation: mine } = setUp(story);
  await mine.send('one');
  await mine.flush();
  const { conversation: theirs } = setUp(story);
  await theirs.open(mine.id);
  await mine.send('mine');
  await theirs.send('theirs');
  await Promise.all([mine.flush(), theirs.flush()]);
  const { conversation } = setUp(story);
  await conversation.open(mine.id);
  expect(conversation.branchesAt(conversation.last!).map(({ question }) => question)).toEqual(['mine', 'theirs']);
});

test('the oldest turns are left out from then on, until they are taken back in', async () => {
  const { conversation, asked } = setUp(story);
  await conversation.send('one');
  await conversation.send('two');
  conversation.leaveOut = 1;
  await conversation.send('three');
  await conversation.send('four');
  const contents = (i: number) =>
    asked[i]?.messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  expect([contents(2), contents(3)]).toEqual([
    ['two', 'three'],
    ['two', 'three', 'four'],
  ]);
  conversation.leaveOut = 0;
  expect(conversation.asking('five')).toMatchObject({ leftOut: 0, turns: { length: 4 } });
});

test('another model begins a new conversation, and the one before is kept', async () => {
  const { conversation, kept } = setUp(story);
  await conversation.send('one');
  conversation.chooseModel('f'.repeat(64) as Digest);
  expect([conversation.turns, kept.total]).toEqual([[], 1]);
});

test('the seed that was set is used, and a fresh one otherwise', async () => {
  const { conversation, settings, asked } = setUp(story);
  await conversation.send('one');
  settings.ask.update({ seed: 7 });
  await conversation.send('two');
  expect(asked.map(({ options }) => options.seed)).toEqual([0x01010101, 7]);
});

test('a search finds titles, questions and answers, and an export has the receipts and their salts', async () => {
  const { conversation, kept } = setUp(withReceipt);
  await conversation.send('Tell me of wrens');
  const { id } = conversation;
  conversation.startNew();
  await conversation.send('And of lanterns');
  expect(kept.list.map(({ title }) => title)).toEqual(['And of lanterns', 'Tell me of wrens']);
  kept.wanted = 'wrens';
  expect(kept.list.map((found) => found.id)).toEqual([id]);
  kept.wanted = 'owl laughed';
  expect(kept.list).toHaveLength(2);
  const { receipt } = receiptOutcomes()['receipt']!;
  const exported = await kept.export(id);
  expect(exported?.text).toContain(receipt!.file.envelope.payload);
  expect(JSON.parse(exported!.text)).toMatchObject({
    turns: [{ receiptId: receipt!.id, secrets: { prompt: receipt!.secrets.prompt } }],
  });
  expect(await kept.export('0'.repeat(16) as KeptId)).toBeNull();
});
