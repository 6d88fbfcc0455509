import express from 'express';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { buildReceipt, signReceipt } from '#shared/receipt/build/build-receipt.ts';
import { receiptId } from '#shared/receipt/read-receipt.ts';
import { receiptFileSchema, type ReceiptFile } from '#shared/receipt/receipt.ts';
import { logStatusSchema, type LogStatus } from '#shared/wire/log-status.ts';
import { receiptListSchema } from '#shared/wire/receipt-list.ts';
import { doubt } from '../../../signal-server/log/transparency-log.ts';
import { openDataFolder } from '../../../signal-server/machine/data-folder.ts';
import { createReceiptRouter } from '../../../signal-server/receipts/receipt-router.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { listen, newFolder, removeFolder } from '../../support/log-stand.ts';
import { giveAnswer, ISSUED_AT_MS, makePeople } from '../../support/receipts.ts';
import { startTestServer, STORE_KINDS, type TestServer } from '../../support/signal-server.ts';

describe.each(STORE_KINDS)('the routes of receipts, with a store in %s', (store) => {
  let folder: string;
  let server: TestServer;
  let file: ReceiptFile;

  beforeAll(async () => {
    folder = await newFolder();
    const { serverIdentity } = await openDataFolder(folder);
    const people = { ...(await makePeople()), server: serverIdentity };
    const { parts } = await giveAnswer(people);
    file = await signReceipt(await buildReceipt(parts), people.requester);
    const clock = new FakeClock(ISSUED_AT_MS + 20_000);
    server = await startTestServer({ folder, clock, store });
  });
  afterAll(async () => {
    await server.stop();
    await removeFolder(folder);
  });

  const post = (body: string, type = 'application/json') =>
    fetch(`${server.url}/api/receipts`, { method: 'POST', headers: { 'content-type': type }, body });
  const get = (path: string) => fetch(server.url + path);

  it('take a receipt and give it back with its proof', async () => {
    const response = await post(JSON.stringify({ envelope: file.envelope }));
    expect(response.status).toBe(200);
    const logged = receiptFileSchema.parse(await response.json());
    expect(logged.envelope).toEqual(file.envelope);
    expect(logged.proof).toContain('\nindex 0\n');
    const read = await get(`/v1/receipts/${receiptId(file)}`);
    expect(read.headers.get('access-control-allow-origin')).toBe('*');
    expect(await read.json()).toEqual(logged);
  });

  const refused: [string, number, object, () => Promise<Response>][] = [
    [
      'with the name of the check',
      400,
      { code: 'bad-message', check: 'requester-signature' },
      () => {
        const [signature] = file.envelope.signatures;
        const sig = `${signature!.sig.startsWith('A') ? 'B' : 'A'}${signature!.sig.slice(1)}`;
        return post(JSON.stringify({ envelope: { ...file.envelope, signatures: [{ ...signature!, sig }] } }));
      },
    ],
    ['that is no envelope', 400, { code: 'bad-message', check: 'format' }, () => post('{"envelope":7}')],
    ['that is no JSON', 400, { code: 'bad-message' }, () => post('{')],
    ['that says it is something else', 400, { code: 'bad-message' }, () => post('{}', 'text/plain')],
    ['that is too large', 413, { code: 'too-large' }, () => post(JSON.stringify({ envelope: 'x'.repeat(1_100_000) }))],
  ];
  it.each(refused)('refuse one %s', async (_what, status, error, ask) => {
    const response = await ask();
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error });
  });

  it('list receipts and tell of the log', async () => {
    const list = receiptListSchema.parse(await (await get('/api/receipts?limit=5')).json());
    expect(list).toMatchObject({ size: 1, receipts: [{ index: 0, id: receiptId(file), modelName: null }] });
    const [{ model, tier, finishedAt } = (() => expect.unreachable())()] = list.receipts;
    const same = `model=${model}&tier=${tier}&from=${finishedAt}&to=2099-01-01T00:00:00Z`;
    expect(await (await get(`/api/receipts?${same}`)).json()).toEqual(list);
    expect(await (await get(`/api/receipts?to=${finishedAt}`)).json()).toEqual({ size: 1, receipts: [] });
    const status = logStatusSchema.parse(await (await get('/api/log')).json());
    expect(status).toMatchObject({ size: 1, history: [{ size: 0 }, { size: 1 }] });
    expect(status.vkey).toBe(server.transparencyLog.verifierKey);
  });

  const time = '2026-03-01T00:00:00Z';
  it.each([
    ['limit', 'limit=0'],
    ['limit', 'limit=201'],
    ['limit', 'limit=x'],
    ['limit', 'limit='],
    ['limit', 'limit=5&limit=5'],
    ['before', 'before=-1'],
    ['before', 'before=1.5'],
    ['before', 'before=1e3'],
    ['before', `before=${'9'.repeat(16)}`],
    ['model', 'model=wren'],
    ['model', `model=${'A'.repeat(64)}`],
    ['model', `model=${'a'.repeat(65)}`],
    ['tier', 'tier=verified'],
    ['tier', 'tier=Checked'],
    ['tier', 'tier='],
    ['from', 'from=2026-03-01'],
    ['from', 'from=1772323200'],
    ['from', 'from=2026-03-01T00:00:00.5Z'],
    ['from', 'from=2026-03-01T00:00:00%2B01:00'],
    ['from', 'from=2026-02-30T00:00:00Z'],
    ['to', "to='%20OR%201=1"],
    ['to', `to=${time}&to=${time}`],
    ['to', `from=${time}&to=${time}`],
    ['to', `from=${time}&to=2026-02-01T00:00:00Z`],
    ['sort', 'sort=tier'],
    ['model[x]', 'model[x]=1'],
  ])('refuse a list whose %s is wrong: %s', async (name, query) => {
    const response = await get(`/api/receipts?${query}`);
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe('bad-message');
    expect(error.message).toContain(`: ${name} is wrong`);
  });

  it('refuse a list after an entry that there is not', async () => {
    const response = await get('/api/receipts?before=1');
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'bad-message' } });
  });

  it.each(['0'.repeat(64), 'none', '..%2fserver.key'])('know no receipt %s, in the form of the API', async (id) => {
    const response = await get(`/v1/receipts/${id}`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      error: { code: 'receipt_not_found', type: 'invalid_request_error', param: 'id' },
    });
  });

  it('count what came', async () => {
    const metrics = await (await get('/metrics')).text();
    expect(metrics).toContain('chorus_receipts_total 1');
    expect(metrics).toContain('chorus_receipts_refused_total{reason="requester-signature"} 1');
  });
});

describe('the routes of receipts, alone', () => {
  const cleanups: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  const post = ({ url }: Pick<TestServer, 'url'>, envelope: unknown) =>
    fetch(`${url}/api/receipts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ envelope }),
    });

  it('refuse one that is one too many, and count it', async () => {
    const server = await startTestServer({ config: { limits: { receiptPostsPerMinute: 2 } } });
    cleanups.push(() => server.stop());
    for (const status of [400, 400, 429]) expect((await post(server, 7)).status).toBe(status);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('chorus_receipts_refused_total{reason="rate-limited"} 1');
  });

  it.each([
    ['the doubt of a log', doubt('it cannot be written', 'full'), 'it cannot be written', 0],
    ['nothing of what failed besides', new ChorusError('internal', "ENOSPC: open '/data/log/tile/0'"), 'failed', 1],
  ])('say to everybody %s', async (_, failure, words, told) => {
    const errors: unknown[] = [];
    const desk = { accept: () => Promise.reject(failure), read: fail, status: {} as LogStatus };
    const config = { trustProxy: false, limits: { receiptPostsPerMinute: 9 } };
    const router = createReceiptRouter({
      ...{ desk, finder: { find: fail }, config },
      onRefused: () => {},
      onError: (error) => errors.push(error),
    });
    const server = await listen(express().use(router));
    cleanups.push(() => server.stop());
    const response = await post({ url: server.url.origin }, 7);
    expect(response.status).toBe(503);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe('internal');
    expect(error.message).toContain(words);
    expect(error.message).not.toContain('/data');
    expect(errors).toEqual(told === 0 ? [] : [failure]);
  });
});

function fail(): Promise<never> {
  return Promise.reject(new Error('not asked'));
}
