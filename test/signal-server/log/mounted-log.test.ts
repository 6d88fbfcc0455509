import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { LogClient } from '#shared/log/log-client.ts';
import { parseVerifierKey } from '#shared/log/signed-note.ts';
import { newFolder, removeFolder, runWitness } from '../../support/log-stand.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';

describe('a server with its log', () => {
  let server: TestServer;
  let folder: string;
  beforeAll(async () => {
    folder = await newFolder();
    server = await startTestServer({ config: { publicUrl: 'https://chorus.example', logLevel: 'silent' } });
  });
  afterAll(async () => {
    await server.stop();
    await removeFolder(folder);
  });

  it('shows it to clients, who remember it', async () => {
    const key = parseVerifierKey((await (await fetch(`${server.url}/log/vkey`)).text()).trim());
    expect(key.name).toBe('chorus.example/log');
    let note: string | null = null;
    const client = new LogClient({
      key,
      verify: verifySignature,
      fetchBytes: async (path, _maxBytes, signal) =>
        new Uint8Array(await (await fetch(`${server.url}/log/${path}`, { signal })).arrayBuffer()),
      memory: {
        load: async () => note,
        save: async (saved) => {
          note = saved;
        },
        loadSplit: async () => null,
        saveSplit: async () => {},
      },
    });
    const { signal } = new AbortController();
    expect((await client.look(signal)).kind).toBe('first-seen');
    await Promise.all(Array.from({ length: 300 }, (_, i) => server.transparencyLog.append(utf8(`entry ${i}`))));
    const view = await client.look(signal);
    if (view.kind !== 'grown') throw new Error(`the log has not grown, but ${view.kind}`);
    expect((await client.entries(view.head, 298, 300, signal)).map((entry) => entry.length)).toEqual([9, 9]);
  });

  it('tells a witness its key', async () => {
    const witness = await runWitness(new URL(server.url), folder);
    expect(witness.logs.map(({ name }) => name)).toEqual(['chorus.example/log']);
    await witness.stop();
  });

  it('counts it', async () => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('chorus_log_entries 300');
    expect(metrics).toContain('chorus_log_in_doubt 0');
  });
});
