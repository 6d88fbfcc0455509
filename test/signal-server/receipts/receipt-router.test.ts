import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildReceipt, signReceipt } from '#shared/receipt/build-receipt.ts';
import { receiptId } from '#shared/receipt/read-receipt.ts';
import { receiptFileSchema, type ReceiptFile } from '#shared/receipt/receipt.ts';
import { logStatusSchema } from '#shared/wire/log-status.ts';
import { receiptListSchema } from '#shared/wire/receipt-list.ts';
import { openDataFolder } from '../../../signal-server/data-folder.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { giveAnswer, ISSUED_AT_MS, makePeople } from '../../support/receipts.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

describe('the routes of receipts', () => {
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
    server = await startTestServer({ folder, clock, config: { limits: { receiptPostsPerMinute: 6 } } });
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
    ['that is one too many', 429, { code: 'rate-limited' }, () => post(JSON.stringify({ envelope: file.envelope }))],
  ];
  it.each(refused)('refuse one %s', async (_what, status, error, ask) => {
    const response = await ask();
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error });
  });

  it('list receipts and tell of the log', async () => {
    const list = receiptListSchema.parse(await (await get('/api/receipts?limit=5')).json());
    expect(list).toMatchObject({ size: 1, receipts: [{ index: 0, id: receiptId(file), modelName: null }] });
    const status = logStatusSchema.parse(await (await get('/api/log')).json());
    expect(status).toMatchObject({ size: 1, history: [{ size: 0 }, { size: 1 }] });
    expect(status.vkey).toBe(server.transparencyLog.verifierKey);
  });

  it.each(['limit=0', 'limit=201', 'limit=x', 'before=-1', 'before=1.5'])('refuse a list with %s', async (query) => {
    const response = await get(`/api/receipts?${query}`);
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
    expect(metrics).toContain('chorus_receipts_refused_total{reason="rate-limited"} 1');
  });
});
