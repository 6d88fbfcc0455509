import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import express from 'express';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { Conversation, Requester } from '#shared/peer/requester.ts';
import type { AnswerEvent, GenerateRequest } from '#shared/session/answer-event.ts';
import type { Route } from '#shared/session/route.ts';
import { createGateway, type GatewayLimits } from '../../../signal-server/gateway/gateway.ts';
import type { GatewayModel } from '../../../signal-server/gateway/gateway-models.ts';
import { systemClock, systemRandom } from '../../../signal-server/system-clock.ts';

/** A model whose tokens are the codes of the characters. */
const model: GatewayModel = {
  name: 'letters',
  digest: digestOf(new Uint8Array()),
  createdSeconds: 1_700_000_000,
  manifest: { config: { vocabularySize: 128, maxPositions: 64 } } as Manifest,
  text: {
    encodeChat(messages) {
      if (messages[0]?.role === 'assistant') throw new ChorusError('bad-message', 'the template does not take these');
      return [...`${messages.map(({ content }) => content).join('|')}>`].map((c) => c.charCodeAt(0));
    },
    encode: (text) => [...text].map((c) => c.charCodeAt(0)),
    createWriter: (stop = []) => {
      let isStopped = false;
      return {
        push(token) {
          const text = String.fromCharCode(token);
          isStopped = stop.includes(text);
          return isStopped ? '' : text;
        },
        get isStopped() {
          return isStopped;
        },
        end: () => '',
      };
    },
  },
};

const id = (digit: string) => digit.repeat(64) as PeerId;
const route = {
  session: 'ab'.repeat(16) as SessionId,
  stages: [
    { range: { start: 0, end: 4, embedding: true, head: false }, primary: { id: id('1') }, shadows: [{ id: id('3') }] },
    { range: { start: 4, end: 8, embedding: false, head: true }, primary: { id: id('2') }, shadows: [] },
  ],
} as unknown as Route;

type Script = (request: GenerateRequest & { signal: AbortSignal }) => AsyncGenerator<AnswerEvent, void, undefined>;

/** Says `text`, one letter a token, as far as it may. */
const say = (text: string): Script =>
  async function* ({ promptTokens, maxNewTokens }) {
    yield { type: 'routed', route, links: [] };
    const letters = [...text].slice(0, maxNewTokens);
    for (const [i, letter] of letters.entries()) {
      const position = promptTokens.length + i;
      yield { type: 'token', token: letter.charCodeAt(0), logprob: -1, position, lapMs: 1, hops: [] };
    }
    const reason = letters.length < text.length ? 'length' : 'stop';
    yield { type: 'end', reason, usage: { promptTokens: promptTokens.length, completionTokens: letters.length } };
  };

const fail = (code: ErrorCode): Script =>
  async function* () {
    throw new ChorusError(code, `failed with ${code}`);
  };

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function start(script: Script, limits: Partial<GatewayLimits> = {}, opening = Promise.resolve()) {
  const open = new Set<Conversation>();
  const seen: GenerateRequest[] = [];
  const requester: Pick<Requester, 'openConversation'> = {
    openConversation() {
      const conversation: Conversation = {
        generate: (request: GenerateRequest & { signal: AbortSignal }) => {
          seen.push(request);
          return script(request);
        },
        close: () => void open.delete(conversation),
      } as unknown as Conversation;
      open.add(conversation);
      return conversation;
    },
  };
  const models = {
    list: () => [model],
    open: (name: string) => opening.then(() => (name === model.name ? model : null)),
  };
  const log = { error: () => {}, info: () => {} };
  const app = express();
  app.use('/v1', createGateway({ requester, models, clock: systemClock, random: systemRandom, log, limits }));
  server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  return { url, open, seen, client: new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 }) };
}

const messages = [{ role: 'user', content: 'Hi' }] as const;
const chat = { model: 'letters', messages: [...messages] };

describe('createGateway', () => {
  it('lists its models and finds one by name', async () => {
    const { client } = await start(say(''));
    const list = await client.models.list();
    expect(list.data).toEqual([{ id: 'letters', object: 'model', created: 1_700_000_000, owned_by: 'chorus' }]);
    expect(await client.models.retrieve('letters')).toEqual(list.data[0]);
    await expect(client.models.retrieve('none')).rejects.toThrow(OpenAI.NotFoundError);
  });

  it('answers a chat with text, usage and who ran the stages', async () => {
    const { client, open } = await start(say('Paris'));
    const answer = await client.chat.completions.create(chat);
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'letters',
      system_fingerprint: `chorus_${model.digest.slice(0, 12)}`,
      choices: [{ index: 0, message: { role: 'assistant', content: 'Paris' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 },
      chorus: {
        tier: 'unchecked',
        session: route.session,
        stages: [
          { start: 0, end: 4, primary: id('1'), shadows: [id('3')] },
          { start: 4, end: 8, primary: id('2'), shadows: [] },
        ],
      },
    });
    expect(open.size).toBe(0);
  });

  it('streams the same answer with its usage and stages at the end', async () => {
    const { client, open } = await start(say('Paris'));
    const stream = await client.chat.completions.create({
      ...chat,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks[0]?.choices[0]?.delta).toMatchObject({ role: 'assistant', content: '' });
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('Paris');
    expect(chunks.at(-2)).toMatchObject({
      choices: [{ finish_reason: 'stop' }],
      usage: null,
      chorus: { tier: 'unchecked' },
    });
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 },
    });
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
    expect(open.size).toBe(0);
  });

  it('completes plain text, streaming and not, 16 tokens unless told otherwise', async () => {
    const { client } = await start(say('a'.repeat(40)));
    const request = { model: 'letters', prompt: 'Once' };
    const answer = await client.completions.create(request);
    expect(answer).toMatchObject({
      object: 'text_completion',
      choices: [{ text: 'a'.repeat(16), finish_reason: 'length' }],
      usage: { prompt_tokens: 4, completion_tokens: 16 },
    });
    let text = '';
    for await (const chunk of await client.completions.create({ ...request, stream: true }))
      text += chunk.choices[0]?.text;
    expect(text).toBe('a'.repeat(16));
  });

  it('hands sampling on and picks a seed where none is given', async () => {
    const { client, seen } = await start(say('x'));
    await client.chat.completions.create({ ...chat, temperature: 0.5, top_p: 0.9, seed: 42, max_tokens: 7 });
    await client.chat.completions.create(chat);
    await client.chat.completions.create(chat);
    expect(seen[0]).toMatchObject({ maxNewTokens: 7, sampling: { temperature: 0.5, topP: 0.9, seed: 42 } });
    expect(seen[1]).toMatchObject({ maxNewTokens: 61, sampling: { temperature: 1, topP: 1 } });
    expect(seen[1]?.sampling.seed).not.toBe(seen[2]?.sampling.seed);
  });

  it('ends at a stop string, leaves it out and gives the session back', async () => {
    const { client, open } = await start(say('abc.def'));
    const answer = await client.chat.completions.create({ ...chat, stop: '.' });
    expect(answer.choices[0]).toMatchObject({ message: { content: 'abc' }, finish_reason: 'stop' });
    expect(answer.usage?.completion_tokens).toBe(4);
    expect(open.size).toBe(0);
  });

  it.each([
    ['an unsupported parameter', { ...chat, n: 2 }, OpenAI.BadRequestError, 'n', 'unsupported_parameter'],
    ['an unknown model', { ...chat, model: 'none' }, OpenAI.NotFoundError, 'model', 'model_not_found'],
    [
      'too many tokens asked for',
      { ...chat, max_tokens: 62 },
      OpenAI.BadRequestError,
      'messages',
      'context_length_exceeded',
    ],
    [
      'messages that the chat template does not take',
      { ...chat, messages: [{ role: 'assistant' as const, content: 'x' }] },
      OpenAI.BadRequestError,
      'messages',
      'invalid_value',
    ],
    [
      'a prompt that fills the model',
      { ...chat, messages: [{ role: 'user' as const, content: 'x'.repeat(63) }] },
      OpenAI.BadRequestError,
      'messages',
      'context_length_exceeded',
    ],
  ])('refuses %s', async (_what, request, errorClass, param, code) => {
    const { client } = await start(say('x'));
    const error: unknown = await client.chat.completions.create(request).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ param, code, type: 'invalid_request_error' });
  });

  it.each([
    ['no-coverage', 503, 'no_coverage', '10'],
    ['all-busy', 503, 'all_busy', '5'],
    ['server-lost', 503, 'server_lost', '2'],
    ['rate-limited', 429, 'rate_limit_exceeded', '5'],
    ['too-long', 400, 'context_length_exceeded', null],
    ['timeout', 504, 'timeout', null],
    ['gap', 500, 'internal_error', null],
  ] as const)('says %s as status %i', async (failure, status, code, retryAfter) => {
    for (const stream of [false, true]) {
      const { client } = await start(fail(failure));
      const error: unknown = await client.chat.completions
        .create({ ...chat, stream })
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(OpenAI.APIError);
      if (!(error instanceof OpenAI.APIError)) return;
      expect([error.status, error.code, (error.headers as Headers).get('retry-after')]).toEqual([
        status,
        code,
        retryAfter,
      ]);
    }
  });

  it('keeps the words of failures of its own making to itself', async () => {
    const { client } = await start(async function* () {
      throw new Error('secret detail');
    });
    await expect(client.chat.completions.create(chat)).rejects.toThrow(/^500 The server had an error/);
  });

  it('tells a client that fails in the middle of its stream', async () => {
    const { client } = await start(async function* () {
      yield { type: 'routed', route, links: [] };
      yield { type: 'token', token: 97, logprob: 0, position: 3, lapMs: 1, hops: [] };
      throw new ChorusError('link-lost', 'nobody is left to go on');
    });
    const stream = await client.chat.completions.create({ ...chat, stream: true });
    let text = '';
    const read = async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    };
    await expect(read()).rejects.toMatchObject({ code: 'link_lost' });
    expect(text).toBe('a');
  });

  it('says in comment lines that a stream is queued', async () => {
    const { url } = await start(async function* (request) {
      yield { type: 'queued', position: 2 };
      yield* say('a')(request);
    });
    const response = await post(`${url}/chat/completions`, { ...chat, stream: true });
    const text = await response.text();
    expect(text.startsWith(': queued, position 2\n\ndata: {')).toBe(true);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('asks nothing for a client that left before the model was there', async () => {
    let finish = (): void => {};
    const opening = new Promise<void>((resolve) => (finish = resolve));
    const { client, seen } = await start(say('abc'), {}, opening);
    const aborter = new AbortController();
    const [arrived, left] = [once(server!, 'request'), once(server!, 'connection')];
    const asking = client.chat.completions.create(chat, { signal: aborter.signal }).catch(() => 'left');
    await arrived;
    const [socket] = (await left) as [Socket];
    const closed = once(socket, 'close');
    aborter.abort();
    expect(await asking).toBe('left');
    await closed;
    finish();
    await opening;
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual([]);
  });

  it('cancels the session of a client that leaves', async () => {
    let cancelled: (reason: unknown) => void = () => {};
    const reason = new Promise((resolve) => (cancelled = resolve));
    const { client, open } = await start(async function* ({ signal }) {
      yield { type: 'routed', route, links: [] };
      yield { type: 'token', token: 97, logprob: 0, position: 3, lapMs: 1, hops: [] };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      cancelled(signal.reason);
      yield { type: 'end', reason: 'cancelled', usage: { promptTokens: 3, completionTokens: 1 } };
    });
    const stream = await client.chat.completions.create({ ...chat, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content === 'a') break;
    expect(await reason).toMatchObject({ code: 'cancelled' });
    await expect.poll(() => open.size).toBe(0);
  });

  it('gives up after its time limit', async () => {
    const { client } = await start(
      async function* ({ signal }) {
        yield { type: 'queued', position: 1 };
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        yield { type: 'end', reason: 'cancelled', usage: { promptTokens: 3, completionTokens: 0 } };
      },
      { answerTimeoutMs: 20 },
    );
    await expect(client.chat.completions.create(chat)).rejects.toMatchObject({ status: 504, code: 'timeout' });
  });

  it.each([
    ['a body that is too large', 'x'.repeat(200), 413, 'request_too_large'],
    ['a body that is no JSON', '{"model":', 400, 'invalid_json'],
    ['a body that is no object', '[]', 400, 'invalid_body'],
  ])('refuses %s', async (_what, body, status, code) => {
    const { url } = await start(say('x'), { maxBodyBytes: 100 });
    const response = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  it('names a URL that it does not know', async () => {
    const { url } = await start(say('x'));
    const response = await post(`${url}/embeddings`, {});
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { code: 'unknown_url', message: expect.stringContaining('POST /v1/embeddings') as string },
    });
  });

  it('lets pages of any origin ask', async () => {
    const { url } = await start(say('x'));
    const headers = {
      origin: 'https://elsewhere.example',
      'access-control-request-headers': 'authorization,content-type',
    };
    const response = await fetch(`${url}/chat/completions`, { method: 'OPTIONS', headers });
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('access-control-allow-headers')).toBe('authorization,content-type');
  });
});

function post(url: string, body: unknown): Promise<globalThis.Response> {
  return fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
}
