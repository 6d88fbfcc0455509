import { OpenAI } from '@llamaindex/openai';
import { ANSWER, BASE, MODEL, QUESTION, equal, expect, failure, paramOf, run } from './harness.mjs';

const shared = { model: MODEL, apiKey: 'none', baseURL: BASE, temperature: 0, maxTokens: 20, maxRetries: 0 };
const llm = new OpenAI(shared);
const messages = [{ role: 'user', content: QUESTION }];
const tool = {
  call: () => '',
  metadata: { name: 'weather', description: 'weather', parameters: { type: 'object', properties: {} } },
};

await run('llamaindex', {
  Chat: {
    'an answer': async () => equal((await llm.chat({ messages })).message.content, ANSWER),
    'system and developer messages': () =>
      llm.chat({ messages: [{ role: 'system', content: 'Be brief.' }, ...messages] }),
    'an answer sent back as it came': async () => {
      const { message } = await llm.chat({ messages });
      await llm.chat({ messages: [...messages, message, ...messages] });
    },
    'image in a message': () =>
      llm.chat({
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,' } }] }],
      }),
  },
  Streams: {
    'pieces of a stream': async () => {
      let text = '';
      for await (const chunk of await llm.chat({ messages, stream: true })) text += chunk.delta;
      equal(text, ANSWER);
    },
  },
  Sampling: {
    'more tokens than the model takes': async () => {
      const error = await failure(new OpenAI({ ...shared, maxTokens: 100_000 }).chat({ messages }));
      equal(paramOf(error), 'max_tokens');
    },
  },
  'Structured output and tools': {
    tools: () => llm.chat({ messages, tools: [tool] }),
    'response_format json_object': () => llm.chat({ messages, responseFormat: { type: 'json_object' } }),
  },
  Completions: {
    'text continued': async () => expect((await llm.complete({ prompt: QUESTION })).text.length > 0),
  },
});
