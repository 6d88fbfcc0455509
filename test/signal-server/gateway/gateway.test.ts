import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import {
  chat,
  model,
  route,
  routed,
  say,
  startScripted,
  stages,
  fail,
  type ScriptedGateway,
} from '../../support/scripted-gateway.ts';
import { checkedEvent, endEvent, tokenEvent } from '../../support/verdicts.ts';

let gateway: ScriptedGateway | undefined;
afterEach(() => gateway?.stop());
const start = async (...args: Parameters<typeof startScripted>) => (gateway = await startScripted(...args));

describe('createGateway', () => {
  it('lists its models and finds one by name', async () => {
    const { client } = await start(say(''));
    const list = await client.models.list();
    const facts = { context_length: 64, quantization: 'q4' };
    expect(list.data).toEqual([
      { id: 'letters', object: 'model', created: 1_700_000_000, owned_by: 'chorus', ...facts },
    ]);
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
        tier: 'checked',
        session: route.session,
        stages,
        earlier: [],
        readers: stages.flatMap(({ shadows }) => shadows).length + stages.length,
        checks: {
          ...{ chunks: 1, checked: 1, settled: 0, unchecked: 0, disputed: 0, positions: 8 },
          worst: { median: 0, p95: 0, max: 0, bias: 0 },
          faults: [],
        },
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
      chorus: { tier: 'checked', stages, checks: { chunks: 1 } },
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

  it('reads no more of one address in a minute than its share', async () => {
    const body = JSON.stringify({ model: 'letters', prompt: 'Once', max_tokens: 1 });
    const { url } = await start(say('x'), { bodyBytesPerMinute: 2 * body.length - 1 });
    const post = () =>
      fetch(`${url}/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const [first, second] = [await post(), await post()];
    expect([first.status, second.status]).toEqual([200, 429]);
    expect(await second.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
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
      'max_tokens',
      'context_length_exceeded',
    ],
    [
      'too many tokens asked for by the newer name',
      { ...chat, max_completion_tokens: 62 },
      OpenAI.BadRequestError,
      'max_completion_tokens',
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
    ['check-failed', 503, 'check_failed', '2'],
    ['timeout', 504, 'timeout', null],
    ['gap', 500, 'internal_error', null],
    ['cancelled', 503, 'cancelled', '2'],
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
      yield routed;
      yield tokenEvent(3, 97);
      yield checkedEvent(0, 3);
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
    const { client, seen, server } = await start(say('abc'), {}, opening);
    const aborter = new AbortController();
    const [arrived, left] = [once(server, 'request'), once(server, 'connection')];
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
      yield routed;
      yield tokenEvent(3, 97);
      yield checkedEvent(0, 3);
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      cancelled(signal.reason);
      yield endEvent(1, { reason: 'cancelled', tier: 'unchecked' });
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
        yield endEvent(0, { reason: 'cancelled', tier: 'unchecked' });
      },
      { answerTimeoutMs: 20 },
    );
    await expect(client.chat.completions.create(chat)).rejects.toMatchObject({ status: 504, code: 'timeout' });
  });

  it('gives the session of a client that does not read its stream back, after its time limit', async () => {
    const lone = route.stages.map((stage) => ({ ...stage, shadows: [] }));
    const bare = { type: 'routed', route: { ...route, stages: lone }, links: [] } as const;
    const { server, url, open, seen } = await start(
      async function* ({ signal }) {
        yield bare;
        for (let i = 0; !signal.aborted; i++) yield tokenEvent(3 + i, 97);
        yield endEvent(1, { reason: 'cancelled', tier: 'unchecked' });
      },
      { answerTimeoutMs: 1_000 },
    );
    const body = JSON.stringify({ ...chat, stream: true });
    const asked = once(server, 'request');
    const socket = connect(Number(new URL(url).port), '127.0.0.1').pause();
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n');
    socket.write(`content-length: ${body.length}\r\n\r\n${body}`);
    await asked;
    await expect.poll(() => [seen.length, open.size]).toEqual([1, 0]);
    socket.destroy();
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

  it.each([
    ['POST', '/embeddings', 404, 'unknown_url', 'POST /v1/embeddings. This server answers POST /v1/chat/completions'],
    ['POST', '//chat/completions', 404, 'unknown_url', 'Did you mean /v1/chat/completions?'],
    ['GET', '/chat/completions', 405, 'method_not_allowed', 'takes POST, not GET'],
    ['DELETE', '/models/letters', 405, 'method_not_allowed', 'takes GET, not DELETE'],
    ['GET', '/models/%E0%A4%A', 400, 'invalid_url', 'escape'],
    ['GET', '/models/%', 400, 'invalid_url', 'escape'],
  ])('says of %s %s what is there instead', async (method, path, status, code, words) => {
    const { url } = await start(say('x'));
    const response = await fetch(url + path, { method });
    expect(response.status).toBe(status);
    expect(response.headers.get('allow')).toBe(status === 405 ? words.split(' ')[1]!.replace(',', '') : null);
    expect(response.headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{24}$/);
    const message = expect.stringContaining(words) as string;
    expect(await response.json()).toMatchObject({ error: { code, type: 'invalid_request_error', message } });
  });

  it('has an answer’s own id as its request id', async () => {
    const { client } = await start(say('x'));
    const answer = await client.chat.completions.create(chat);
    expect(answer._request_id).toBe(answer.id);
  });

  describe('a body', () => {
    const body = JSON.stringify({ ...chat, max_tokens: 1 });
    const nested = `{"model":"letters","messages":[{"role":"user","content":"Hi"}],"tools":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    const latin = Buffer.from('{"model":"letters","messages":[{"role":"user","content":"caf\xe9"}]}', 'latin1');
    it.each<[string, Record<string, string>, string | Uint8Array<ArrayBuffer>, number, string | null]>([
      ['is taken in UTF-8 under its other name', { 'content-type': 'application/json; charset=utf8' }, body, 200, null],
      ['is taken in UTF-8 in quotes', { 'content-type': 'application/json;charset="UTF-8"' }, body, 200, null],
      ['is refused in another charset', { 'content-type': 'application/json; charset=latin1' }, body, 415, 'latin1'],
      ['is refused with bytes that are no UTF-8', {}, new Uint8Array(latin), 400, 'UTF-8'],
      ['is taken compressed', { 'content-encoding': 'gzip' }, new Uint8Array(gzipSync(body)), 200, null],
      ['is refused where it is not compressed as it says', { 'content-encoding': 'gzip' }, body, 400, "'gzip'"],
      [
        'is refused cut short',
        { 'content-encoding': 'br' },
        new Uint8Array(brotliCompressSync(body)).slice(0, -9),
        400,
        "'br'",
      ],
      ['is refused in a compression that not every server has', { 'content-encoding': 'zstd' }, body, 415, 'zstd'],
      ['is refused that goes deeper than any value', {}, nested, 400, 'tools'],
    ])('%s', async (_what, headers, sent, status, words) => {
      const { url } = await start(say('x'));
      const response = await fetch(`${url}/chat/completions`, {
        method: 'POST',
        body: sent,
        headers: { 'content-type': 'application/json', ...headers },
      });
      expect(response.status).toBe(status);
      if (words !== null) {
        expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining(words) as string } });
      }
    });
  });

  it('answers each prompt of a list with a choice of its own, in order', async () => {
    const { client, open, seen } = await start(say('abc'));
    const request = { model: 'letters', prompt: ['Once', 'Twice'], max_tokens: 2 };
    const { choices, usage } = await client.completions.create(request);
    expect(choices).toMatchObject([
      { index: 0, text: 'ab', finish_reason: 'length', chorus: { tier: 'checked' } },
      { index: 1, text: 'ab', finish_reason: 'length', chorus: { tier: 'checked' } },
    ]);
    expect(usage).toEqual({ prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 });
    const texts = ['', ''];
    for await (const { choices } of await client.completions.create({ ...request, stream: true })) {
      for (const { index, text } of choices) texts[index] += text;
    }
    expect(texts).toEqual(['ab', 'ab']);
    expect(seen.map(({ promptTokens }) => promptTokens.length)).toEqual([4, 5, 4, 5]);
    expect(open.size).toBe(0);
  });

  it('fails a list of prompts as a whole, and ends the answers to the others', async () => {
    const { client, open } = await start(async function* (request) {
      if (request.promptTokens.length === 4) throw new ChorusError('no-coverage', 'nobody holds layer 3');
      yield { type: 'queued', position: 1 };
      await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve()));
      yield endEvent(0, { reason: 'cancelled', tier: 'unchecked' });
    });
    const asked = client.completions.create({ model: 'letters', prompt: ['Twice', 'Once'] });
    await expect(asked).rejects.toMatchObject({ status: 503, code: 'no_coverage' });
    expect(open.size).toBe(0);
  });

  it.each([false, true])('tells clients that the server stops, and blames nobody else (stream: %s)', async (stream) => {
    const { client, gateway, open, seen } = await start(async function* ({ signal }) {
      yield routed;
      yield tokenEvent(3, 97);
      yield checkedEvent(0, 3);
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      yield endEvent(1, { reason: 'cancelled', tier: 'unchecked' });
    });
    const asked = client.chat.completions.create({ ...chat, stream }).then(async (answer) => {
      if (Symbol.asyncIterator in answer) for await (const _ of answer);
    });
    const failed = expect(asked).rejects.toMatchObject({ code: 'server_lost', type: 'server_error' });
    await expect.poll(() => seen.length).toBe(1);
    gateway.stop();
    await failed;
    await expect.poll(() => open.size).toBe(0);
    await expect(client.chat.completions.create(chat)).rejects.toMatchObject({ status: 503, code: 'server_lost' });
  });

  it('ends the wait for volunteers with all_busy, and says when to try again', async () => {
    const { client, open } = await start(
      async function* ({ signal }) {
        yield { type: 'queued', position: 1 };
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        yield endEvent(0, { reason: 'cancelled', tier: 'unchecked' });
      },
      { waitMs: 20 },
    );
    const answers = await Promise.allSettled(Array.from({ length: 5 }, () => client.chat.completions.create(chat)));
    for (const answer of answers) {
      const reason = (answer as PromiseRejectedResult).reason as InstanceType<typeof OpenAI.APIError>;
      expect([reason.status, reason.code, (reason.headers as Headers).get('retry-after')]).toEqual([
        503,
        'all_busy',
        '5',
      ]);
    }
    expect(open.size).toBe(0);
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
