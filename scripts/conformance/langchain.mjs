import { AIMessage, HumanMessage, SystemMessage } from '@langchain/core/messages';
import { ChatOpenAI, OpenAI } from '@langchain/openai';
import { ANSWER, BASE, MODEL, QUESTION, equal, expect, failure, paramOf, run } from './harness.mjs';

const shared = { model: MODEL, apiKey: 'none', temperature: 0, maxRetries: 0, configuration: { baseURL: BASE } };
const chat = new ChatOpenAI({ ...shared, maxTokens: 20 });
const tool = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } };
const schema = { title: 'answer', type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

await run('@langchain/openai', {
  Chat: {
    'an answer': async () => equal((await chat.invoke(QUESTION)).content, ANSWER),
    usage: async () => expect((await chat.invoke(QUESTION)).usage_metadata?.total_tokens > 8),
    'system and developer messages': () => chat.invoke([new SystemMessage('Be brief.'), new HumanMessage(QUESTION)]),
    'message with a name': () => chat.invoke([new HumanMessage({ content: QUESTION, name: 'Adam' })]),
    'an answer sent back as it came': async () => {
      const answer = await chat.invoke(QUESTION);
      await chat.invoke([new HumanMessage(QUESTION), answer, new HumanMessage(QUESTION)]);
    },
    'a history': () => chat.invoke([new HumanMessage('Hi'), new AIMessage('Hello!'), new HumanMessage(QUESTION)]),
    'a batch of questions': async () => {
      const answers = await chat.batch([QUESTION, QUESTION, QUESTION]);
      equal(
        answers.map(({ content }) => content),
        [ANSWER, ANSWER, ANSWER],
      );
    },
  },
  Streams: {
    'pieces of a stream': async () => {
      let text = '';
      for await (const chunk of await chat.stream(QUESTION)) text += chunk.content;
      equal(text, ANSWER);
    },
  },
  Sampling: {
    'stop strings': async () =>
      equal((await chat.invoke(QUESTION, { stop: [' is'] })).content, 'The capital of France'),
    'more tokens than the model takes': async () => {
      const error = await failure(new ChatOpenAI({ ...shared, maxTokens: 100_000 }).invoke(QUESTION));
      equal(paramOf(error), 'max_tokens');
    },
    logprobs: () => new ChatOpenAI({ ...shared, logprobs: true }).invoke(QUESTION),
  },
  'Structured output and tools': {
    tools: () => chat.bindTools([tool]).invoke(QUESTION),
    'structured output': () => chat.withStructuredOutput(schema).invoke(QUESTION),
  },
  Completions: {
    'text continued': async () =>
      expect((await new OpenAI({ ...shared, maxTokens: 8 }).invoke('Once upon a time')).length > 0),
  },
});
