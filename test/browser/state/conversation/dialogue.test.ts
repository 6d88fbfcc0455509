import { beforeEach, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { ChatMessage } from '#shared/text/model-text.ts';
import { pageClock } from '../../../../web/browser/page-clock.ts';
import type { AnswerOptions, Chat, ChatEvent } from '../../../../web/state/conversation/chat.ts';
import { Dialogue } from '../../../../web/state/conversation/dialogue.svelte.ts';
import { Models } from '../../../../web/state/models.svelte.ts';
import { Settings } from '../../../../web/state/settings.svelte.ts';
import { storyEvents } from '../../../support/page-gallery/check-fixtures.ts';
import { WREN } from '../../../support/page-gallery/fixtures.ts';

interface Asked {
  readonly messages: readonly ChatMessage[];
  readonly options: AnswerOptions;
}

beforeEach(() => localStorage.clear());

/** A conversation over chats that answer with `answer`; `asked` has what they were asked, `closed` how many were closed. */
function setUp(
  answer: (asked: Asked) => AsyncGenerator<ChatEvent>,
  fetchModels: () => Promise<readonly (typeof WREN)[]> = () => Promise.resolve([WREN]),
) {
  const settings = new Settings(localStorage);
  const asked: Asked[] = [];
  const counts = { opened: 0, closed: 0 };
  const conversation = new Dialogue({
    models: new Models(fetchModels, settings),
    settings,
    clock: pageClock(),
    random: (count) => new Uint8Array(count).fill(1),
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
  return { conversation, settings, asked, counts };
}

async function* story(): AsyncGenerator<ChatEvent> {
  yield* storyEvents();
}

async function* untilStopped({ options }: Asked): AsyncGenerator<ChatEvent> {
  yield* storyEvents().slice(0, 5);
  if (!options.signal.aborted) await new Promise((resolve) => options.signal.addEventListener('abort', resolve));
  throw new ChorusError('cancelled', 'stopped');
}

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

test('an answer that ends late leaves the chat of the question after it alone', async () => {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const { conversation, asked, counts } = setUp(async function* ({ messages }) {
    if (messages[0]?.content === 'one') {
      await ended;
      throw new ChorusError('cancelled', 'stopped');
    }
    yield* storyEvents();
  });
  const first = conversation.send('one');
  await expect.poll(() => asked.length).toBe(1);
  conversation.reset();
  await conversation.send('two');
  end();
  await first;
  await conversation.send('three');
  expect(counts).toEqual({ opened: 2, closed: 1 });
});

test('a question is not sent while an answer is being made', async () => {
  const { conversation, asked } = setUp(untilStopped);
  const done = conversation.send('one');
  await conversation.send('two');
  await expect.poll(() => asked.length).toBe(1);
  conversation.stop();
  await done;
});

test('edit puts the question back and forgets what came after it', async () => {
  const { conversation } = setUp(story);
  await conversation.send('one');
  await conversation.send('two');
  conversation.edit(conversation.turns[0]!);
  expect([conversation.draft, conversation.turns.length]).toEqual(['one', 0]);
});

test('asking again replaces the last answer and leaves it out of the history', async () => {
  const { conversation, asked } = setUp(story);
  await conversation.send('one');
  await conversation.regenerate();
  expect(conversation.turns).toHaveLength(1);
  expect(asked[1]?.messages).toHaveLength(1);
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

test('a new conversation gives the chat back', async () => {
  const { conversation, counts } = setUp(story);
  await conversation.send('one');
  conversation.reset();
  expect([conversation.turns.length, counts.closed]).toEqual([0, 1]);
});

test('the seed that was set is used, and a fresh one otherwise', async () => {
  const { conversation, settings, asked } = setUp(story);
  await conversation.send('one');
  settings.ask.update({ seed: 7 });
  await conversation.send('two');
  expect(asked.map(({ options }) => options.seed)).toEqual([0x01010101, 7]);
});
