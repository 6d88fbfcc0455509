import { describe, expect, it } from 'vitest';
import { MAX_POSITIONS } from '#shared/limits.ts';
import { parseChatRequest, parseCompletionRequest } from '../../../signal-server/gateway/answer-request.ts';
import { ApiError } from '../../../signal-server/http/api-error.ts';

const messages = [{ role: 'user', content: 'Hello' }];
const chat = { model: 'wren', messages };
const completion = { model: 'wren', prompt: 'Once upon a time' };

function refusal(parse: () => unknown): { status: number; code: string | null; param: string | null } {
  try {
    parse();
  } catch (error) {
    if (error instanceof ApiError)
      return { status: error.status, code: error.body.error.code, param: error.body.error.param };
    throw error;
  }
  throw new Error('the request was accepted');
}

describe('parseChatRequest', () => {
  it('fills in the defaults of the OpenAI API', () => {
    expect(parseChatRequest(chat)).toEqual({
      model: 'wren',
      prompts: [{ param: 'messages', prompt: { type: 'messages', messages } }],
      stream: false,
      includeUsage: false,
      sampling: { temperature: 1, topP: 1, seed: null },
      stop: [],
      length: { asked: null, param: 'max_tokens', usual: null },
      release: 'checked',
    });
  });

  it('reads every parameter it serves', () => {
    const parsed = parseChatRequest({
      ...chat,
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0,
      top_p: 0.5,
      seed: 7,
      stop: ['a', 'b'],
      max_completion_tokens: 9,
      user: 'somebody',
      chorus: { release: 'early' },
    });
    expect(parsed).toMatchObject({
      stream: true,
      includeUsage: true,
      sampling: { temperature: 0, topP: 0.5, seed: 7 },
      stop: ['a', 'b'],
      length: { asked: 9, param: 'max_completion_tokens', usual: null },
      release: 'early',
    });
  });

  it('joins text parts, takes developer for system and a single stop string for a list', () => {
    const parts = [
      { type: 'text', text: 'Be ' },
      { type: 'text', text: 'brief.' },
    ];
    const parsed = parseChatRequest({
      ...chat,
      messages: [{ role: 'developer', content: parts }, ...messages],
      stop: '\n',
    });
    expect(parsed.prompts[0]!.prompt).toEqual({
      type: 'messages',
      messages: [{ role: 'system', content: 'Be brief.' }, ...messages],
    });
    expect(parsed.stop).toEqual(['\n']);
  });

  it('takes back its own answer as a message of the history', () => {
    const answer = { role: 'assistant', content: 'Hi.', refusal: null };
    expect(() => parseChatRequest({ ...chat, messages: [...messages, answer, ...messages] })).not.toThrow();
  });

  it.each(['refusal', 'parsed', 'tool_calls', 'function_call', 'audio', 'reasoning', 'reasoning_content', 'citations'])(
    'takes a message whose %s is null for one without it',
    (field) => {
      const answer = { role: 'assistant', content: 'Hi.', [field]: null };
      const { prompts } = parseChatRequest({ ...chat, messages: [...messages, answer], [field]: null });
      const history = [...messages, { role: 'assistant', content: 'Hi.' }];
      expect(prompts[0]!.prompt).toEqual({ type: 'messages', messages: history });
    },
  );

  it('takes parts as answers have them, and one character from two of them', () => {
    const parts = [
      { type: 'text', text: '\ud83d', annotations: null },
      { type: 'text', text: '\ude00', annotations: [] },
    ];
    const { prompts } = parseChatRequest({ ...chat, messages: [{ role: 'assistant', content: parts }] });
    expect(prompts[0]!.prompt).toMatchObject({ messages: [{ content: '\u{1f600}' }] });
  });

  it('hands on who says a message', () => {
    const named = [{ role: 'user', content: 'Hello', name: 'Ann' }];
    expect(parseChatRequest({ ...chat, messages: named }).prompts[0]!.prompt).toMatchObject({ messages: named });
  });

  it('takes the likeliest token for the share of probability 0', () => {
    const { sampling } = parseChatRequest({ ...chat, temperature: 1.5, top_p: 0, seed: 3 });
    expect(sampling).toEqual({ temperature: 0, topP: 1, seed: 3 });
  });

  it('lets through unsupported parameters with the values that ask for nothing', () => {
    const harmless = {
      n: 1,
      tools: [],
      tool_choice: 'none',
      response_format: { type: 'text' },
      frequency_penalty: 0,
      presence_penalty: null,
      logprobs: false,
      logit_bias: {},
      store: false,
      reasoning_effort: 'none',
      verbosity: 'medium',
      top_k: null,
      stop: null,
      seed: null,
    };
    expect(parseChatRequest({ ...chat, ...harmless })).toEqual(parseChatRequest(chat));
  });

  it.each([
    ['n', 2],
    ['tools', [{ type: 'function', function: { name: 'f' } }]],
    ['tool_choice', 'required'],
    ['functions', [{ name: 'f' }]],
    ['response_format', { type: 'json_object' }],
    ['logprobs', true],
    ['top_logprobs', 3],
    ['logit_bias', { 50256: -100 }],
    ['frequency_penalty', 0.5],
    ['presence_penalty', -1],
    ['modalities', ['text', 'audio']],
    ['audio', { voice: 'alloy', format: 'wav' }],
    ['prediction', { type: 'content', content: '' }],
    ['reasoning_effort', 'low'],
    ['store', true],
    ['metadata', { topic: 'birds' }],
    ['service_tier', 'priority'],
    ['web_search_options', {}],
  ])('refuses %s by name', (param, value) => {
    expect(refusal(() => parseChatRequest({ ...chat, [param]: value }))).toEqual({
      status: 400,
      code: 'unsupported_parameter',
      param,
    });
  });

  it.each([
    ['model', 'missing_required_parameter', { messages }],
    ['messages', 'missing_required_parameter', { model: 'wren' }],
    ['messages', 'invalid_value', { ...chat, messages: [] }],
    ['messages[0].role', 'invalid_value', { ...chat, messages: [{ role: 'tool', content: 'x' }] }],
    ['messages[0].content', 'missing_required_parameter', { ...chat, messages: [{ role: 'user' }] }],
    ['messages[0].content', 'invalid_type', { ...chat, messages: [{ role: 'user', content: 5 }] }],
    [
      'messages[0].content[0].type',
      'invalid_value',
      { ...chat, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }] },
    ],
    ['messages[0].name', 'invalid_type', { ...chat, messages: [{ role: 'user', content: 'x', name: 5 }] }],
    ['messages[0].weight', 'unknown_parameter', { ...chat, messages: [{ role: 'user', content: 'x', weight: 1 }] }],
    [
      'messages[1].tool_calls',
      'unsupported_parameter',
      { ...chat, messages: [...messages, { role: 'assistant', content: '', tool_calls: [{ id: 'a' }] }] },
    ],
    [
      'messages[1].reasoning_content',
      'unsupported_parameter',
      { ...chat, messages: [...messages, { role: 'assistant', content: '', reasoning_content: 'Well' }] },
    ],
    [
      'messages[0].content[1].cache_control',
      'unknown_parameter',
      {
        ...chat,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'x' },
              { type: 'text', text: 'y', cache_control: { type: 'ephemeral' } },
            ],
          },
        ],
      },
    ],
    ['messages[0].content', 'invalid_value', { ...chat, messages: [{ role: 'user', content: 'a\ud83d' }] }],
    ['messages[0].name', 'invalid_value', { ...chat, messages: [{ role: 'user', content: 'x', name: '\udc00' }] }],
    ['stop[0]', 'invalid_value', { ...chat, stop: '\ud83d' }],
    ['chorus.markers', 'unknown_parameter', { ...chat, chorus: { markers: true } }],
    ['temperature', 'invalid_value', { ...chat, temperature: 2.1 }],
    ['temperature', 'invalid_type', { ...chat, temperature: '1' }],
    ['top_p', 'invalid_value', { ...chat, top_p: -0.1 }],
    ['seed', 'invalid_type', { ...chat, seed: 0.5 }],
    ['stop', 'invalid_value', { ...chat, stop: ['a', 'b', 'c', 'd', 'e'] }],
    ['stop[0]', 'invalid_value', { ...chat, stop: '' }],
    ['max_tokens', 'invalid_value', { ...chat, max_tokens: 0 }],
    ['max_tokens', 'invalid_value', { ...chat, max_tokens: 5, max_completion_tokens: 6 }],
    ['stream_options', 'invalid_value', { ...chat, stream_options: { include_usage: true } }],
    ['top_k', 'unknown_parameter', { ...chat, top_k: 5 }],
    ['chorus', 'invalid_type', { ...chat, stream: true, chorus: 'early' }],
    ['chorus.release', 'invalid_value', { ...chat, stream: true, chorus: { release: 'now' } }],
    ['chorus.release', 'invalid_value', { ...chat, chorus: { release: 'early' } }],
    ['chorus.shadows', 'unknown_parameter', { ...chat, chorus: { release: 'checked', shadows: 2 } }],
    [
      '__proto__',
      'unknown_parameter',
      JSON.parse('{"model":"wren","messages":[{"role":"user","content":"x"}],"__proto__":{"n":2}}'),
    ],
  ])('names %s when it is wrong (%s)', (param, code, body) => {
    expect(refusal(() => parseChatRequest(body))).toEqual({ status: 400, code, param });
  });

  it('stops at the first fault of many, and at an object of too many fields', () => {
    const bad = Array.from({ length: 2_000 }, () => ({ role: 'user', content: Array.from({ length: 256 }, () => 0) }));
    const fields = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`field${i}`, 0]));
    const started = performance.now();
    expect(refusal(() => parseChatRequest({ ...chat, messages: bad })).param).toBe('messages[0].content[0]');
    expect(refusal(() => parseChatRequest({ ...chat, ...fields }))).toMatchObject({
      code: 'invalid_body',
      param: null,
    });
    const message = { role: 'user', content: 'x', ...fields };
    expect(refusal(() => parseChatRequest({ ...chat, messages: [message] })).param).toBe('messages[0]');
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  it.each([[undefined], [null], ['text'], [[chat]]])('refuses the body %j', (body) => {
    expect(refusal(() => parseChatRequest(body)).code).toBe('invalid_body');
  });
});

describe('parseCompletionRequest', () => {
  it('makes 16 tokens unless told otherwise, as OpenAI does', () => {
    expect(parseCompletionRequest(completion)).toMatchObject({
      prompts: [{ param: 'prompt', prompt: { type: 'text', text: 'Once upon a time', hasMarkers: false } }],
      length: { asked: null, param: 'max_tokens', usual: 16 },
    });
  });

  it.each([
    [['Once'], [{ type: 'text', text: 'Once', hasMarkers: false }]],
    [[5, 6], [{ type: 'tokens', tokens: [5, 6] }]],
    [[[5, 6]], [{ type: 'tokens', tokens: [5, 6] }]],
    [
      [[1], [2]],
      [
        { type: 'tokens', tokens: [1] },
        { type: 'tokens', tokens: [2] },
      ],
    ],
  ])('takes the prompt %j', (prompt, expected) => {
    const { prompts } = parseCompletionRequest({ ...completion, prompt });
    expect(prompts.map((each) => each.prompt)).toEqual(expected);
  });

  it('takes several prompts, each by its place, and markers where they are asked for', () => {
    const { prompts } = parseCompletionRequest({ ...completion, prompt: ['a', 'b'], chorus: { markers: true } });
    expect(prompts.map(({ param }) => param)).toEqual(['prompt[0]', 'prompt[1]']);
    expect(prompts[1]!.prompt).toEqual({ type: 'text', text: 'b', hasMarkers: true });
  });

  it('takes an empty suffix for none', () => {
    expect(parseCompletionRequest({ ...completion, suffix: '' })).toEqual(parseCompletionRequest(completion));
  });

  const tooMany = Array.from({ length: 33 }, () => 'a');
  it.each(
    ['', [], [''], ['a', [1]], tooMany, [[1], []], [-1], [0.5], { text: 'x' }, ['a', '\udc00']].map((prompt) => [
      prompt,
    ]),
  )('refuses the prompt %j', (prompt) => {
    expect(refusal(() => parseCompletionRequest({ ...completion, prompt }))).toMatchObject({
      status: 400,
      param: expect.stringMatching(/^prompt/) as string,
    });
  });

  it('refuses more tokens than any model takes', () => {
    const prompt = Array.from({ length: MAX_POSITIONS + 1 }, () => 1);
    expect(refusal(() => parseCompletionRequest({ ...completion, prompt }))).toMatchObject({ param: 'prompt' });
  });

  it.each([
    ['best_of', 2],
    ['echo', true],
    ['suffix', 'the end'],
    ['logprobs', 0],
    ['n', 3],
  ])('refuses %s by name', (param, value) => {
    expect(refusal(() => parseCompletionRequest({ ...completion, [param]: value }))).toMatchObject({
      code: 'unsupported_parameter',
      param,
    });
  });
});
