import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, generateText, jsonSchema, Output, streamText, tool } from 'ai';
import { ANSWER, BASE, MODEL, QUESTION, equal, expect, failure, paramOf, run } from './harness.mjs';

const provider = createOpenAICompatible({ name: 'chorus', baseURL: BASE, apiKey: 'none', includeUsage: true });
const model = provider(MODEL);
const shared = { model, temperature: 0, maxOutputTokens: 20, maxRetries: 0 };
const ask = (more = {}) => generateText({ ...shared, prompt: QUESTION, ...more });
const object = jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] });

await run('ai', {
  Chat: {
    'an answer': async () => equal((await ask()).text, ANSWER),
    usage: async () => expect((await ask()).usage.totalTokens > 8),
    'finish reason at the end and at the limit': async () => {
      const [whole, cut] = [await ask(), await ask({ maxOutputTokens: 2 })];
      equal([whole.finishReason, cut.finishReason], ['stop', 'length']);
    },
    'a history': () =>
      ask({
        prompt: undefined,
        messages: [
          { role: 'user', content: 'Hi' },
          { role: 'assistant', content: 'Hello!' },
          { role: 'user', content: QUESTION },
        ],
      }),
    'an answer sent back as it came': async () => {
      const { response } = await ask();
      const messages = [{ role: 'user', content: QUESTION }, ...response.messages, { role: 'user', content: QUESTION }];
      await ask({ prompt: undefined, messages });
    },
    'image in a message': () =>
      ask({
        prompt: undefined,
        messages: [
          { role: 'user', content: [{ type: 'image', image: new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]) }] },
        ],
      }),
  },
  Streams: {
    'pieces of a stream': async () => {
      let text = '';
      for await (const piece of streamText({ ...shared, prompt: QUESTION }).textStream) text += piece;
      equal(text, ANSWER);
    },
    'usage of a stream': async () => {
      const result = streamText({ ...shared, prompt: QUESTION });
      for await (const _ of result.textStream);
      expect((await result.usage).totalTokens > 8, await result.usage);
    },
    'leaving a stream': async () => {
      const aborter = new AbortController();
      const result = streamText({
        ...shared,
        maxOutputTokens: undefined,
        prompt: QUESTION,
        abortSignal: aborter.signal,
        onError: () => {},
      });
      for await (const _ of result.textStream) {
        aborter.abort();
        break;
      }
    },
  },
  Sampling: {
    'temperature and seed': async () => {
      const drawn = async () => (await ask({ temperature: 1, seed: 7 })).text;
      equal(await drawn(), await drawn());
    },
    'top_p of 0': async () => equal((await ask({ temperature: 1, topP: 0 })).text, ANSWER),
    'stop strings': async () => equal((await ask({ stopSequences: [' is'] })).text, 'The capital of France'),
    'more tokens than the model takes': async () => {
      const error = await failure(ask({ maxOutputTokens: 100_000 }));
      equal(paramOf(error), 'max_tokens');
    },
    frequency_penalty: () => ask({ frequencyPenalty: 1 }),
  },
  'Structured output and tools': {
    tools: () => ask({ tools: { weather: tool({ description: 'weather', inputSchema: object }) } }),
    'structured output': () => ask({ output: Output.object({ schema: object }) }),
  },
  Completions: {
    'text continued': async () =>
      expect(
        (await generateText({ ...shared, model: provider.completionModel(MODEL), prompt: 'Once upon a time' })).text
          .length > 0,
      ),
  },
  'Other endpoints': {
    embeddings: () => embed({ model: provider.textEmbeddingModel(MODEL), value: 'x', maxRetries: 0 }),
  },
});
