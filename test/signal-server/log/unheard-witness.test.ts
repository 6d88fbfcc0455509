import { cp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { parseWitnessAddress } from '../../../signal-server/machine/witness-address.ts';
import { listen, newFolder, removeFolder, runWitness, serveLog, type ServedLog } from '../../support/log-stand.ts';

const waitMs = 15_000;
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean().catch(() => {});
});

async function folder(): Promise<string> {
  const made = await newFolder();
  cleanups.push(() => removeFolder(made));
  return made;
}

async function start(...args: Parameters<typeof serveLog>): Promise<ServedLog> {
  const served = await serveLog(...args);
  cleanups.push(() => served.stop());
  return served;
}

const entryOf = (i: number) => utf8(`entry ${i}`);
const fill = (log: ServedLog, from: number, to: number) =>
  Promise.all(Array.from({ length: to - from }, (_, i) => log.service.append(entryOf(from + i))));

describe('a log of which no witness has been heard since the start', () => {
  /** A log with a witness that can be made deaf. */
  async function gated() {
    const data = await folder();
    const first = await start(data);
    const witness = await runWitness(first.url, await folder(), 'witness.example');
    cleanups.push(() => witness.stop());
    await first.stop();
    let isDeaf = true;
    const gate = await listen((request, response) => {
      if (isDeaf) return void response.writeHead(503).end();
      const target = `http://127.0.0.1:${witness.port}${request.url}`;
      void new Response(Readable.toWeb(request) as ReadableStream).arrayBuffer().then(async (body) => {
        const answer = await fetch(target, request.method === 'POST' ? { method: 'POST', body } : {});
        response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
      });
    });
    cleanups.push(() => gate.stop());
    const witnesses = [parseWitnessAddress(`${witness.verifierKey} ${gate.url.href}`)];
    return { data, witnesses, hear: (is: boolean) => (isDeaf = !is) };
  }

  it('takes nothing, says so once, and goes on once one has cosigned', async () => {
    const { data, witnesses, hear } = await gated();
    const told: (string | null)[] = [];
    let goneOn = 0;
    const more = { onGoingOn: () => (goneOn += 1), onWitness: (_: string, error: string | null) => told.push(error) };
    const log = await start(data, { witnesses, ...more });
    await expect(log.service.append(entryOf(0))).rejects.toThrow('no witness of it has been heard since the start');
    expect(log.service.status.doubt).toBe(log.doubts[0]);
    expect(log.doubts).toHaveLength(1);
    hear(true);
    await vi.waitFor(() => expect(log.service.status.doubt).toBeNull(), { timeout: waitMs, interval: 50 });
    await fill(log, 0, 2);
    await log.service.prove(1, waitMs);
    expect([goneOn, told.length, told[0], told.at(-1)]).toEqual([1, 2, expect.stringContaining('503'), null]);
    await log.stop();
    // Of the entries that are there a witness has to be heard anew.
    hear(false);
    const second = await start(data, { witnesses });
    await expect(second.service.append(entryOf(2))).rejects.toThrow('no witness of it has been heard');
    await second.stop();
    const third = await start(data, { witnesses, unwitnessedStart: true });
    expect(await third.service.append(entryOf(2))).toBe(2);
  });

  it('does not sign a second history where log and database are of an old copy without entries', async () => {
    const { data, witnesses, hear } = await gated();
    hear(true);
    const copy = await folder();
    await cp(data, copy, { recursive: true });
    const first = await start(data, { witnesses });
    await fill(first, 0, 3);
    await first.service.prove(2, waitMs);
    await first.stop();
    const put = await start(copy, { witnesses });
    await vi.waitFor(() => expect(put.service.status.doubt).toContain('of a witness it shows a checkpoint'), {
      timeout: waitMs,
      interval: 50,
    });
    await expect(put.service.append(entryOf(0))).rejects.toThrow('in doubt');
  });

  it('does not begin another key where its own is lost', async () => {
    const data = await folder();
    await (await start(data)).stop();
    await rm(join(data, 'log.key'));
    await expect(serveLog(data)).rejects.toThrow('its key, log.key, is missing');
    await expect(stat(join(data, 'log.key'))).rejects.toThrow('ENOENT');
  });
});
