import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import type { HttpRequest, HttpResponse } from '#shared/peer/server/http.ts';
import { createServerApi, type ServerApi } from '#shared/peer/server/server-api.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const digest = 'a'.repeat(64) as Digest;
const { signal } = new AbortController();
const envelope = { payload: '', payloadType: 'x', signatures: [] };
let clock: FakeClock;
let asked: (HttpRequest & { path: string })[];
/** Parts of bodies that were left unread. */
let cancelled: number;
beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  cancelled = 0;
});
afterEach(() => expect(clock.pendingTimers).toBe(0));

/** A server that gives this answer to everything. */
function serverWith(status: number, ...parts: readonly string[]): ServerApi {
  return createServerApi({
    fetch: (path, request) => {
      asked.push({ path, ...request });
      return Promise.resolve(responseOf(status, parts.map(utf8)));
    },
    clock,
    silenceMs: 10_000,
    words: {
      name: 'the server',
      refused: (given, path, reason) => reason ?? `${given} for ${path}`,
      unreachable: () => 'it cannot be reached',
    },
  });
}

function responseOf(status: number, parts: Uint8Array[]): HttpResponse {
  return {
    ok: status < 400,
    status,
    body: {
      getReader: () => ({
        read: () => Promise.resolve({ done: parts.length === 0, value: parts.shift() }),
        cancel: () => {
          cancelled += parts.length;
          return Promise.resolve();
        },
      }),
    },
  };
}

const query = { model: null, tier: null, from: '2026-03-01T00:00:00Z', to: null, before: null, limit: 3 };
const calls: [string, (api: ServerApi) => Promise<unknown>][] = [
  ['list of models', (api) => api.fetchModels(signal)],
  ['picture of the network', (api) => api.fetchNetwork(signal)],
  ['model', (api) => api.fetchManifest(digest, signal)],
  ['blob', (api) => api.fetchRange(digest, 0, 4, signal)],
  ['receipt', (api) => api.postReceipt(envelope, signal)],
  ['receipt', (api) => api.fetchReceipt(digest, signal)],
  ['list of receipts', (api) => api.fetchReceipts(query, signal)],
  ['status of the log', (api) => api.fetchLog(signal)],
  ['file of the log', (api) => api.fetchLogFile('checkpoint', 1_000, signal)],
];

describe('what the server does not have', () => {
  it.each(calls)('is named: %s', async (what, call) => {
    await expect(call(serverWith(404))).rejects.toMatchObject({
      code: what === 'model' ? 'unknown-model' : 'not-found',
      message: `the server has no such ${what}`,
      details: { status: 404 },
    });
  });

  it('is told in the words of the server where it has some', async () => {
    const told = serverWith(404, '{"error":{"code":"receipt_not_found","message":"It is entry ', '7 of its log."}}');
    await expect(told.fetchReceipt(digest, signal)).rejects.toMatchObject({
      code: 'not-found',
      message: 'It is entry 7 of its log.',
    });
  });
});

describe('another refusal', () => {
  it.each([
    [400, 'bad-message'],
    [413, 'too-large'],
    [429, 'rate-limited'],
    [500, 'server-lost'],
    [503, 'server-lost'],
  ])('by status %i is %s', async (status, code) => {
    await expect(serverWith(status).fetchModels(signal)).rejects.toMatchObject({
      code,
      message: `${status} for /api/models`,
      details: { status },
    });
  });

  it('whose reason is longer than a reason may be keeps its status', async () => {
    const long = serverWith(503, `{"error":{"message":"${'x'.repeat(20_000)}"}}`);
    await expect(long.fetchModels(signal)).rejects.toMatchObject({ message: '503 for /api/models' });
  });
});

describe('why no socket opens', () => {
  it.each([
    [403, 'socket-refused'],
    [426, 'socket-refused'],
    [429, 'rate-limited'],
    [503, 'server-lost'],
  ])('is what the server answers at its address, by status %i %s', async (status, code) => {
    const why = await serverWith(status, '{"error":{"message":"because"}}').whyNoSocket(signal);
    expect(why).toMatchObject({ code, message: 'because' });
  });

  it('is not known where it answers nothing of the kind', async () => {
    expect(await serverWith(200, '').whyNoSocket(signal)).toBeNull();
  });
});

describe('an answer', () => {
  it.each(calls.slice(0, 3).concat(calls.slice(4, 8)))('that is no %s is refused', async (what, call) => {
    for (const body of ['{}x', '[]', '"\ufffe']) {
      await expect(call(serverWith(200, body))).rejects.toMatchObject({
        code: 'bad-message',
        message: `what the server answered is no ${what} that can be read`,
      });
    }
  });

  it('that is too long is given up as soon as that shows', async () => {
    const api = serverWith(200, 'abcd', 'e', 'f', 'g');
    await expect(api.fetchLogFile('tile/0/000', 4, signal)).rejects.toMatchObject({ code: 'too-large' });
    expect(cancelled).toBe(2);
  });

  it('that never comes is given up after the silence that is allowed', async () => {
    const api = createServerApi({
      fetch: (_path, { signal: wanted }) =>
        new Promise((_resolve, reject) => wanted.addEventListener('abort', () => reject(wanted.reason as Error))),
      clock,
      silenceMs: 10_000,
      words: { name: 'the server', refused: () => '', unreachable: () => 'it cannot be reached' },
    });
    const lost = expect(api.fetchModels(signal)).rejects.toMatchObject({
      code: 'timeout',
      message: 'the server said nothing for 10 s',
    });
    await clock.advance(10_000);
    await lost;
    const leaving = new AbortController();
    const left = expect(api.fetchModels(leaving.signal)).rejects.toMatchObject({ code: 'cancelled' });
    leaving.abort();
    await left;
    const told = new AbortController();
    const replaced = expect(api.fetchModels(told.signal)).rejects.toMatchObject({ code: 'replaced' });
    told.abort(new ChorusError('replaced', 'another came'));
    await replaced;
  });
});

describe('a piece of a blob', () => {
  it('is asked for by its range, and comes whole', async () => {
    const bytes = await serverWith(206, 'wr', 'en').fetchRange(digest, 8, 12, signal);
    expect(new TextDecoder().decode(bytes)).toBe('wren');
    expect(asked).toMatchObject([{ path: `/blobs/${digest}`, method: 'GET', headers: { range: 'bytes=8-11' } }]);
  });

  it('is cut out of what a server gives that knows no ranges, whose rest is left unread', async () => {
    const bytes = await serverWith(200, 'the w', 'ren s', 'ings', ' again').fetchRange(digest, 4, 8, signal);
    expect(new TextDecoder().decode(bytes)).toBe('wren');
    expect(cancelled).toBe(2);
  });

  it.each([
    ['shorter', 'bad-message', 206, 'wre'],
    ['longer', 'too-large', 206, 'wrens'],
    ['shorter, of a server that knows no ranges,', 'bad-message', 200, 'wre'],
  ])('that is %s is %s', async (_how, code, status, body) => {
    await expect(serverWith(status, body).fetchRange(digest, 0, 4, signal)).rejects.toMatchObject({ code });
  });

  it('is never larger than a piece', async () => {
    const api = serverWith(206);
    await expect(api.fetchRange(digest, 0, BLOB_PIECE_BYTES + 1, signal)).rejects.toMatchObject({ code: 'too-large' });
    expect(asked).toEqual([]);
  });
});

it('asks the paths that the server has, with what is looked for', async () => {
  for (const [, call] of calls) await call(serverWith(404)).catch(() => undefined);
  expect(asked.map(({ method, path, cache }) => `${method} ${path} ${cache}`)).toEqual([
    'GET /api/models default',
    'GET /api/network default',
    `GET /api/models/${digest} default`,
    `GET /blobs/${digest} default`,
    'POST /api/receipts default',
    `GET /v1/receipts/${digest} default`,
    'GET /api/receipts?from=2026-03-01T00%3A00%3A00Z&limit=3 default',
    'GET /api/log default',
    'GET /log/checkpoint no-store',
  ]);
  expect(asked[4]).toMatchObject({
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ envelope }),
  });
});
