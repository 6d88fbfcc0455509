import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fromHex } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { digestSchema } from '#shared/ids.ts';
import { parseSalt } from '#shared/receipt/build/receipt-secrets.ts';
import { verifyReceipt, type VerifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { logStatusSchema } from '#shared/wire/log-status.ts';
import { receiptListSchema } from '#shared/wire/receipt-list.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { newFolder, removeFolder } from '../../support/log-stand.ts';
import { wrenChat } from '../../support/wren-text.ts';

const noteSchema = z.object({
  chorus: z.object({
    tier: z.string(),
    receipt: z.strictObject({ id: digestSchema, url: z.string(), salt: z.string() }),
  }),
});

const secret = 'the heron Quillabeth';
const messages = [{ role: 'user' as const, content: `Tell me a story about ${secret}.` }];
const prompt = wrenChat(messages);
const tell = { model: 'wren', messages, temperature: 0, max_tokens: 40 };

interface Given {
  readonly text: string;
  readonly id: string;
  readonly salt: string;
}

let folder: string;
let server: AnchoredServer;
const lines: string[] = [];
const all: Given[] = [];
const start = () => startAnchoredServer(4, { folder, onLog: (line) => lines.push(line) });

beforeAll(async () => {
  folder = await newFolder();
  server = await start();
}, 120_000);
afterAll(async () => {
  await server.stop();
  await removeFolder(folder);
});

async function ask(stop: string[] = []): Promise<Given> {
  const answer = await server.client.chat.completions.create({ ...tell, ...(stop.length > 0 && { stop }) });
  const { receipt } = noteSchema.parse(answer).chorus;
  expect(receipt.url).toBe(`/v1/receipts/${receipt.id}`);
  const given = { text: answer.choices[0]?.message.content ?? '', ...receipt };
  all.push(given);
  return given;
}

async function getJson(path: string): Promise<unknown> {
  const response = await fetch(server.url + path);
  expect(response.status).toBe(200);
  return response.json();
}

/** The checks that failed, of the receipt as the server gives it. */
async function failures({ id }: Given, more: Partial<VerifyReceipt>): Promise<string[]> {
  const receipt = await getJson(`/v1/receipts/${id}`);
  const policy = `log ${server.transparencyLog.verifierKey}\nquorum none\n`;
  const found = await verifyReceipt({ receipt, verify, policy, ...more });
  expect(found.id).toBe(id);
  return found.checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
}

describe('the receipt of an answer of the API', { timeout: 120_000 }, () => {
  it('holds, with answer, prompt and salt', async () => {
    const given = await ask();
    const held = { answer: given.text, prompt, salt: parseSalt(given.salt) };
    expect(await failures(given, held)).toEqual([]);
    expect(await failures(given, { ...held, answer: given.text.replace('e', 'a') })).toEqual(['answer']);
    expect(await failures(given, { ...held, prompt: `${prompt} ` })).toEqual(['prompt']);
  });

  it('is of the gateway, which is the requester, and of stages that signed', async () => {
    const receipt = await getJson(`/v1/receipts/${all[0]!.id}`);
    const { summary } = await verifyReceipt({ receipt, verify });
    expect(summary).toMatchObject({ requester: { kind: 'gateway' }, tier: 'checked', sampling: { temperature: 0 } });
    for (const { replicas } of summary?.stages ?? []) {
      expect(replicas.map(({ role, hasSigned }) => `${role} ${hasSigned}`)).toEqual(['primary true', 'shadow true']);
    }
  });

  it('is of the pieces of a stream joined', async () => {
    let text = '';
    let note: unknown;
    for await (const chunk of await server.client.chat.completions.create({ ...tell, stream: true })) {
      text += chunk.choices[0]?.delta.content ?? '';
      if ('chorus' in chunk) note = chunk;
    }
    const { receipt } = noteSchema.parse(note).chorus;
    const given = { text, ...receipt };
    all.push(given);
    expect(text).toBe(all[0]!.text);
    expect(await failures(given, { answer: text, prompt, salt: parseSalt(given.salt) })).toEqual([]);
  });

  it('is of the text before a stop string', async () => {
    const whole = all[0]!.text;
    const stop = whole.slice(20, 28);
    const given = await ask([stop]);
    expect(given.text).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(await failures(given, { answer: given.text })).toEqual([]);
    expect(await failures(given, { answer: given.text + stop })).toEqual(['answer']);
  });

  it('is listed, the newest first, with the name of the model', async () => {
    const { size, receipts } = receiptListSchema.parse(await getJson('/api/receipts?limit=2'));
    expect(receipts.map(({ id, modelName }) => [id, modelName])).toEqual([
      [all[2]!.id, 'wren'],
      [all[1]!.id, 'wren'],
    ]);
    // Rosters are entries too.
    const [last, before] = receipts.map(({ index }) => index);
    expect([before! < last!, last! < size]).toEqual([true, true]);
    const rest = receiptListSchema.parse(await getJson(`/api/receipts?before=${before!}`));
    expect(rest.receipts.map(({ id }) => id)).toEqual([all[0]!.id]);
  });

  it('outlives the server', async () => {
    await server.stop();
    server = await start();
    for (const given of all) expect(await failures(given, { answer: given.text })).toEqual([]);
    await ask();
    expect(receiptListSchema.parse(await getJson('/api/receipts')).receipts.length).toBe(4);
    const status = logStatusSchema.parse(await getJson('/api/log'));
    expect(status).toMatchObject({ doubt: null, witnesses: [] });
    expect(status.size).toBeGreaterThan(4);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('chorus_receipts_total 1');
    expect(metrics).toMatch(/chorus_log_checkpoint_time_seconds \d{10}/);
  });

  it('leaves neither prompt nor salt with the server', async () => {
    const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile() && !/\/(blobs|models)$/.test(entry.parentPath))
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.some((file) => file.includes('chorus.sqlite'))).toBe(true);
    expect(files.some((file) => file.includes('tile/entries'))).toBe(true);
    const kept = await Promise.all(files.map((file) => readFile(file)));
    const secrets = all.flatMap(({ salt }) => [
      salt,
      Buffer.from(fromHex(salt)),
      Buffer.from(fromHex(salt)).toString('base64'),
    ]);
    for (const text of [secret, ...secrets]) {
      expect(lines.some((line) => line.includes(text.toString()))).toBe(false);
      expect(kept.some((bytes) => bytes.includes(text))).toBe(false);
    }
    // The database holds receipts in base64.
    const envelopes = await Promise.all(all.map(async ({ id }) => JSON.stringify(await getJson(`/v1/receipts/${id}`))));
    const payloads = envelopes.flatMap((text) => text.match(/[A-Za-z0-9+/=]{40,}/g) ?? []);
    for (const text of payloads.map((payload) => Buffer.from(payload, 'base64').toString())) {
      expect(text).not.toContain(secret);
      for (const { salt } of all) expect(text).not.toContain(salt);
    }
  });
});
