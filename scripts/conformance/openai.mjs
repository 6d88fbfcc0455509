import OpenAI from 'openai';
import { ANSWER, BASE, MODEL, QUESTION, equal, expect, failure, run } from './harness.mjs';

const client = new OpenAI({ baseURL: BASE, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: QUESTION }];
const chat = { model: MODEL, messages, temperature: 0, max_tokens: 20 };
const ask = (more = {}, options = {}) => client.chat.completions.create({ ...chat, ...more }, options);
const textOf = ({ choices }) => choices[0].message.content;
const complete = (more = {}) =>
  client.completions.create({ model: MODEL, prompt: 'Once upon a time', temperature: 0, ...more });
const tool = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } };
const schema = { type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'object', properties: {} } } };

await run('openai', {
  Models: {
    'list models': async () => expect((await client.models.list()).data.some(({ id }) => id === MODEL)),
    'one model': async () => equal((await client.models.retrieve(MODEL)).id, MODEL),
    'context length of a model': async () => expect((await client.models.retrieve(MODEL)).context_length > 0),
    'unknown model': async () => expect((await failure(ask({ model: 'none' }))) instanceof OpenAI.NotFoundError),
  },
  Chat: {
    'an answer': async () => equal(textOf(await ask()), ANSWER),
    usage: async () => expect((await ask()).usage.total_tokens > 8),
    'finish reason at the end and at the limit': async () => {
      const [whole, cut] = [await ask(), await ask({ max_tokens: 2 })];
      equal([whole.choices[0].finish_reason, cut.choices[0].finish_reason], ['stop', 'length']);
    },
    'system and developer messages': async () => {
      await ask({ messages: [{ role: 'system', content: 'Be brief.' }, ...messages] });
      await ask({ messages: [{ role: 'developer', content: 'Be brief.' }, ...messages] });
    },
    'message with a name': () => ask({ messages: [{ ...messages[0], name: 'Adam' }] }),
    'text parts': async () => {
      const parts = [...QUESTION.match(/.{1,9}/g)].map((text) => ({ type: 'text', text }));
      equal(textOf(await ask({ messages: [{ role: 'user', content: parts }] })), ANSWER);
    },
    'an answer sent back as it came': async () => {
      const { message } = (await ask()).choices[0];
      await ask({ messages: [...messages, message, ...messages] });
    },
    'an answer of parse() sent back': async () => {
      const { message } = (await client.chat.completions.parse(chat)).choices[0];
      await ask({ messages: [...messages, message, ...messages] });
    },
    'characters of control tokens in a message': async () => {
      const { usage } = await ask({ messages: [{ role: 'user', content: '<|im_end|>' }], max_tokens: 1 });
      const plain = await ask({ messages: [{ role: 'user', content: 'x' }], max_tokens: 1 });
      expect(usage.prompt_tokens > plain.usage.prompt_tokens, usage);
    },
    'image in a message': () =>
      ask({
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,' } }] }],
      }),
    'tool message': () => ask({ messages: [...messages, { role: 'tool', tool_call_id: 'a', content: 'x' }] }),
  },
  Streams: {
    'pieces of a stream': async () => {
      let text = '';
      for await (const chunk of await ask({ stream: true })) text += chunk.choices[0]?.delta.content ?? '';
      equal(text, ANSWER);
    },
    'usage of a stream': async () => {
      let usage = null;
      for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } }))
        usage = chunk.usage ?? usage;
      expect(usage?.total_tokens > 8, usage);
    },
    'stream() and its final message': async () => {
      const { content } = await client.chat.completions.stream(chat).finalMessage();
      equal(content, ANSWER);
    },
    'leaving a stream': async () => {
      const stream = await ask({ stream: true, max_tokens: undefined });
      for await (const _ of stream) break;
    },
  },
  Sampling: {
    'temperature and seed': async () => {
      const drawn = () => ask({ temperature: 1, seed: 7 }).then(textOf);
      equal(await drawn(), await drawn());
    },
    'top_p of 0': async () => equal(textOf(await ask({ temperature: 1, top_p: 0 })), ANSWER),
    'stop strings': async () => equal(textOf(await ask({ stop: [' is'] })), 'The capital of France'),
    max_completion_tokens: async () =>
      equal((await ask({ max_tokens: undefined, max_completion_tokens: 3 })).usage.completion_tokens, 3),
    'more tokens than the model takes': async () =>
      equal((await failure(ask({ max_tokens: 100_000 }))).param, 'max_tokens'),
    frequency_penalty: () => ask({ frequency_penalty: 1 }),
    logit_bias: () => ask({ logit_bias: { 5: 10 } }),
    logprobs: () => ask({ logprobs: true }),
    'two choices (n)': () => ask({ n: 2 }),
    'reasoning_effort none': () => ask({ reasoning_effort: 'none' }),
    'reasoning_effort low': () => ask({ reasoning_effort: 'low' }),
  },
  'Structured output and tools': {
    'response_format json_object': () => ask({ response_format: { type: 'json_object' } }),
    'response_format json_schema': () => ask({ response_format: schema }),
    tools: () => ask({ tools: [tool] }),
    'tool_choice none': () => ask({ tool_choice: 'none' }),
  },
  Completions: {
    'text continued': async () => expect((await complete()).choices[0].text.length > 0),
    'its stream': async () => {
      let text = '';
      for await (const chunk of await complete({ stream: true })) text += chunk.choices[0]?.text ?? '';
      equal(text, (await complete()).choices[0].text);
    },
    'token ids': async () => expect((await complete({ prompt: [20, 30, 40] })).choices.length === 1),
    'a batch of prompts': async () => {
      const { choices } = await complete({ prompt: ['One', 'Two', 'Three'], max_tokens: 4 });
      equal(
        choices.map(({ index }) => index),
        [0, 1, 2],
      );
    },
    'empty suffix': () => complete({ suffix: '' }),
    suffix: () => complete({ suffix: 'The end.' }),
    echo: () => complete({ echo: true }),
    best_of: () => complete({ best_of: 2 }),
  },
  'Errors and headers': {
    'bad request': async () => expect((await failure(ask({ temperature: 9 }))) instanceof OpenAI.BadRequestError),
    'request id': async () => expect(typeof (await ask())._request_id === 'string'),
    'request id of an error': async () => expect(typeof (await failure(ask({ n: 2 }))).requestID === 'string'),
  },
  'Other endpoints': {
    embeddings: () => client.embeddings.create({ model: MODEL, input: 'x' }),
    responses: () => client.responses.create({ model: MODEL, input: 'x' }),
    moderations: () => client.moderations.create({ input: 'x' }),
  },
});
