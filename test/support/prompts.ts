import type { ChatTurn } from './oracle.ts';

const countries = [
  'France',
  'Japan',
  'Brazil',
  'Egypt',
  'Canada',
  'Norway',
  'Kenya',
  'Peru',
  'India',
  'Poland',
  'Cuba',
  'Nepal',
];
const sums = [
  '2 + 2',
  '17 + 25',
  '81 - 51',
  '9 - 4',
  '40 + 58',
  '63 - 27',
  '5 + 0',
  '99 - 1',
  '12 + 34',
  '70 - 35',
  '8 + 8',
  '50 - 49',
];
const heroes = [
  'a brave mouse',
  'a shy dragon',
  'a little owl',
  'Pip the fox',
  'a lost kite',
  'two friends',
  'a silver bell',
  'a clever baker',
];
const openings = [
  'Once upon a time, there was',
  'Long ago, a gentle giant named',
  'Ruby was afraid of the dark.',
  'One windy morning, the hero found',
  'The turtle and the hare',
  '"Why are you sad?" asked',
  'In the village by the sea',
  'Every day they went to the',
];
const oddities = [
  'Hello',
  'Who are you?',
  'What can you do?',
  'Tell me a joke.',
  'What is the meaning of life?',
  'x',
  '12345 67890',
  'ÄÖÜ ß é è',
  '你好，世界',
  '🙂🙃 🎉',
  'a\tb\nc  d',
  '<b>bold</b> & "quotes"',
  'SELECT * FROM volunteers;',
  'the the the the the the the the',
  'Write in CAPITAL LETTERS PLEASE',
  '...',
];

const longest = 'Tell me a story about two friends.';

const ask = (content: string): ChatTurn[] => [{ role: 'user', content }];

const kinds: readonly (readonly (readonly ChatTurn[])[])[] = [
  countries.map((country) => ask(`What is the capital of ${country}?`)),
  sums.map((sum) => ask(`What is ${sum}?`)),
  heroes.map((hero) => ask(`Tell me a story about ${hero}.`)),
  openings.map((opening) => ask(`Continue: ${opening}`)),
  oddities.map(ask),
  countries.slice(0, 4).map((country): ChatTurn[] => [
    { role: 'user', content: `What is the capital of ${country}?` },
    { role: 'assistant', content: 'I will tell you.' },
    { role: 'user', content: 'Please do, and then tell me what is 3 + 4.' },
  ]),
  heroes.slice(0, 4).map((hero): ChatTurn[] => [
    { role: 'system', content: 'You are Wren, a small and friendly storyteller.' },
    { role: 'user', content: `Tell me a long story about ${hero}. ${openings.join(' ')}` },
  ]),
];

/** 64 conversations over what Wren knows, what it does not, several turns and awkward text. */
export const conversations: readonly (readonly ChatTurn[])[] = kinds.flat();

/** Longer than a chunk: SwiftShader with subgroups is only wrong where 32 positions are run at once. */
export const longQuestion =
  'Tell me a story about a brave mouse, a shy dragon and a little owl who find a silver bell under an old tree on a windy morning by the sea.';

/** Conversations whose greedy answers are kept in test/vectors/greedy.json, and how many tokens of each. */
export const answered: readonly { readonly messages: readonly ChatTurn[]; readonly count: number }[] = [
  ...conversations.map((messages) => ({ messages, count: messages[0]?.content === longest ? 128 : 64 })),
  { messages: ask('Tell me a story about a fox.'), count: 64 },
  { messages: ask(longQuestion), count: 8 },
];

/** Plain text whose greedy continuation is kept there too. */
export const continued = { text: 'Once upon a time', count: 16 };

/** Conversations whose answers other tests rely on, and the first of each kind. */
export const reliedUpon: readonly (readonly ChatTurn[])[] = [
  ...kinds.map(([first]) => first!),
  ...['a brave mouse', 'a shy dragon', 'two friends', 'a fox'].map((hero) => ask(`Tell me a story about ${hero}.`)),
  ask('What is the capital of Norway?'),
  ask(longQuestion),
];
