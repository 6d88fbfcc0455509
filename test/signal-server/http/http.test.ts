import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openEnvelope } from '#shared/crypto/dsse.ts';
import { envelopeSchema } from '#shared/crypto/envelope.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { modelListSchema } from '#shared/wire/model-list.ts';
import { networkSnapshotSchema } from '#shared/wire/network-snapshot.ts';
import { connectPeer, connectVolunteer, routeRequest } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { startTestServer, type TestServer } from '../../support/signal-server.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const blob = new TextEncoder().encode('0123456789');
const digest = digestOf(blob);
const script = `export const words = ${JSON.stringify('wren '.repeat(2_000))};`;
const absent = 'f'.repeat(64);

describe('HTTP', () => {
  let server: TestServer;
  let webFolder: string;
  const logged: string[] = [];

  beforeAll(async () => {
    webFolder = await mkdtemp(join(tmpdir(), 'chorus-web-'));
    await mkdir(join(webFolder, 'assets'));
    await writeFile(join(webFolder, 'index.html'), '<!doctype html><title>Chorus</title>');
    await writeFile(join(webFolder, 'assets', 'main-abc.js'), 'export {};');
    await writeFile(join(webFolder, 'assets', 'long-abc.js'), script);
    await writeFile(join(webFolder, 'assets', 'long-abc.wasm'), script);
    server = await startTestServer({
      manifests: [smallManifest()],
      config: { webFolder, logLevel: 'trace' },
      onLog: (line) => logged.push(line),
    });
    await writeFile(join(server.dataFolder.blobsPath, digest), blob);
  });
  afterAll(async () => {
    await server.stop();
    await rm(webFolder, { recursive: true });
  });

  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(server.url + path, { headers });

  /** The status; `fetch` would tidy the path up and ask caches to stand aside. */
  function getRaw(path: string, headers: Record<string, string> = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: server.port, path, headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on('error', reject)
        .end();
    });
  }

  describe('blobs', () => {
    it('come whole, never to change, and usable by isolated pages', async () => {
      const response = await get(`/blobs/${digest}`);
      expect(response.status).toBe(200);
      expect(await response.text()).toBe('0123456789');
      expect(response.headers.get('cache-control')).toContain('immutable');
      expect(response.headers.get('etag')).toBe(`"${digest}"`);
      expect(response.headers.get('accept-ranges')).toBe('bytes');
      expect(response.headers.get('cross-origin-resource-policy')).toBe('cross-origin');
      expect(response.headers.get('content-type')).toBe('application/octet-stream');
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    });

    it.each([
      ['bytes=2-4', '234', 'bytes 2-4/10'],
      ['bytes=8-', '89', 'bytes 8-9/10'],
      ['bytes=-3', '789', 'bytes 7-9/10'],
      ['bytes=5-99', '56789', 'bytes 5-9/10'],
    ])('come in part for %s', async (range, text, contentRange) => {
      const response = await get(`/blobs/${digest}`, { range });
      expect(response.status).toBe(206);
      expect(response.headers.get('content-range')).toBe(contentRange);
      expect(await response.text()).toBe(text);
    });

    it('refuse a range behind their end', async () => {
      const response = await get(`/blobs/${digest}`, { range: 'bytes=10-' });
      expect(response.status).toBe(416);
      expect(response.headers.get('content-range')).toBe('bytes */10');
    });

    it('are not sent again to who has them', async () => {
      expect(await getRaw(`/blobs/${digest}`, { 'if-none-match': `"${digest}"` })).toBe(304);
    });

    it('answer 404 without caching for one that is not there', async () => {
      const response = await get(`/blobs/${absent}`);
      expect(response.status).toBe(404);
      expect(response.headers.get('cache-control')).toBeNull();
      expect(await response.json()).toMatchObject({ error: { code: 'not-found' } });
    });

    it.each([
      '/blobs/..%2fserver.key',
      '/blobs/../server.key',
      '/blobs/%2e%2e%2fserver.key',
      '/blobs/..',
      `/blobs/${digest}%00`,
      '/blobs/%',
      '/..%2f..%2fetc%2fpasswd',
    ])('lead nowhere else: %s', async (path) => {
      expect([400, 404]).toContain(await getRaw(path));
    });
  });

  it('every answer isolates the page and lets it load its own code only', async () => {
    for (const path of ['/', '/healthz', '/nothing', '/assets/main-abc.js', `/blobs/${digest}`]) {
      const { headers } = await get(path);
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
      expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp');
      expect(headers.get('content-security-policy')).toContain("script-src 'self' 'wasm-unsafe-eval'");
      expect(headers.get('x-powered-by')).toBeNull();
      expect(headers.get('strict-transport-security')).toBeNull();
    }
  });

  it('the page is asked for each time, its assets once', async () => {
    expect((await get('/')).headers.get('cache-control')).toBe('no-cache');
    expect((await get('/assets/main-abc.js')).headers.get('cache-control')).toContain('immutable');
  });

  it('the page comes compressed to who can read that, whole or in ranges as it is', async () => {
    const zipped = await get('/assets/long-abc.js');
    expect(zipped.headers.get('content-encoding')).toMatch(/^(?:gzip|br)$/);
    expect(zipped.headers.get('vary')).toContain('Accept-Encoding');
    expect(zipped.headers.get('cache-control')).toContain('immutable');
    expect(await zipped.text()).toBe(script);
    const plain = await get('/assets/long-abc.js', { 'accept-encoding': 'identity' });
    expect(plain.headers.get('content-encoding')).toBeNull();
    expect(await plain.text()).toBe(script);
    const part = await get('/assets/long-abc.js', { range: 'bytes=0-1999', 'accept-encoding': 'gzip' });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-encoding')).toBeNull();
    expect(await part.text()).toBe(script.slice(0, 2_000));
    expect((await get('/assets/long-abc.wasm')).headers.get('content-encoding')).toBeNull();
  });

  it('the models are listed, and their manifests signed by the server', async () => {
    const { models } = modelListSchema.parse(await (await get('/api/models')).json());
    expect(models.map((model) => model.name)).toEqual(['small']);
    const { root } = smallManifest().source;
    expect(models[0]).toMatchObject({ root, licence: 'none', origin: null, card: null, signedBy: null });
    const response = await get(`/api/models/${models[0]!.digest}`);
    const envelope = envelopeSchema.parse(await response.json());
    const key = server.dataFolder.serverIdentity.publicKey;
    const payload = await openEnvelope(envelope, MANIFEST_PAYLOAD_TYPE, key, verifySignature);
    expect(digestOf(payload)).toBe(models[0]!.digest);
  });

  it.each([`/api/models/${absent}`, '/api/models/x'])('an unknown model is 404: %s', async (path) => {
    const response = await get(path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { code: 'unknown-model' } });
  });

  it('the network is told as its schema has it, before and after a volunteer joins', async () => {
    const before = networkSnapshotSchema.parse(await (await get('/api/network')).json());
    expect(before.models[0]!.servable).toBe(false);
    expect(before.models[0]!.reason).toContain('no volunteer holds');
    const a = await connectVolunteer(server.url);
    const b = await connectVolunteer(server.url);
    const requester = await connectPeer(server.url);
    requester.send(routeRequest(server.digests[0]!));
    await requester.take('routed');
    // All requests within a second get the same answer.
    const after = await vi.waitFor(async () => {
      const snapshot = networkSnapshotSchema.parse(await (await get('/api/network')).json());
      expect(snapshot.volunteers).toHaveLength(2);
      return snapshot;
    }, 15_000);
    expect(after.volunteers.map((volunteer) => volunteer.id).sort()).toEqual([a.id, b.id].sort());
    expect(after.models[0]!.coverage).toEqual({ embedding: 1, layers: [1, 1, 1, 1, 1, 1, 1, 1], head: 1 });
    expect(after.models[0]!.servable).toBe(false);
    expect(after.models[0]!.reason).toContain('busy');
    expect(after.volunteers[0]!.trust).toEqual({
      ...{ witnessedSpans: 0, agreedSpans: 0 },
      ...{ isNew: true, isLongTrusted: false, suspendedUntilMs: null },
    });
    expect(after).toMatchObject({ checks: { checked: 0, disputed: 0 }, faults: [] });
    expect(after).toMatchObject({ sharedPrefix: true, sessions: { running: 1 } });
    for (const peer of [a, b, requester]) await peer.close();
  });

  it('metrics come in the Prometheus text format', async () => {
    const response = await get('/metrics');
    expect(response.headers.get('content-type')).toContain('text/plain');
    const text = await response.text();
    expect(text).toMatch(/^chorus_volunteers\{state="ready"\} \d+$/m);
    expect(text).toMatch(/^chorus_sessions_running \d+$/m);
    expect(text).toMatch(/^chorus_volunteers_suspended 0$/m);
  });

  it('health checks tell a server that lives from one that can answer', async () => {
    const [live, ready] = await Promise.all([get('/healthz'), get('/readyz')]);
    expect([live.status, ready.status]).toEqual([200, 503]);
    const answers = { ready: false, reason: 'the server is still starting, or has no API' };
    const receipts = { ready: true, reason: null };
    expect(await live.json()).toEqual({ status: 'ok', answers, receipts });
    expect(await ready.json()).toEqual({ status: 'not ready', answers, receipts });
  });

  it('answers what it does not know in JSON', async () => {
    expect((await get('/healthz')).status).toBe(200);
    const response = await get('/nothing/here?secret=1');
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ error: { code: 'not-found', message: 'there is nothing here' } });
    expect(logged.join()).not.toContain('secret');
  });

  it('the log of the server says which origin its transparency log has', () => {
    const { origin } = server.transparencyLog.status;
    const lines = logged.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'transparency log', origin, entries: 0 }));
  });

  it('the API is not there without a gateway', async () => {
    const response = await get('/v1/models');
    expect(response.status).toBe(503);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    const message = 'the API is still starting';
    const error = { message, type: 'server_error', param: null, code: 'server_lost' };
    expect(await response.json()).toEqual({ error });
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it.each([
    ['/chat/completions', 404, 'unknown_url', 'Did you mean /v1/chat/completions?'],
    ['//v1/chat/completions', 404, 'unknown_url', 'Did you mean /v1/chat/completions?'],
    ['/openai/v1/models', 404, 'unknown_url', 'Did you mean /v1/models?'],
    ['/v1/v1/completions', 503, 'server_lost', 'still starting'],
    ['/embeddings', 404, 'unknown_url', 'This server answers POST /v1/chat/completions'],
    ['/v1/receipts/%FF', 400, 'invalid_url', 'escape'],
    ['/v1/receipts/%', 400, 'invalid_url', 'escape'],
  ])('a path that was meant for the API is answered as the API does: %s', async (path, status, code, words) => {
    const origin = 'https://elsewhere.example';
    const response = await fetch(server.url + path, { headers: { origin } });
    expect(response.status).toBe(status);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    const message = expect.stringContaining(words) as string;
    expect(await response.json()).toMatchObject({ error: { code, message, param: null } });
    expect((await fetch(server.url + path, { method: 'OPTIONS', headers: { origin } })).status).toBe(204);
  });

  it('pages of other servers may read what digests name, and ask for it in ranges', async () => {
    for (const path of [`/api/models/${'0'.repeat(64)}`, `/blobs/${digest}`]) {
      const { headers } = await get(path);
      expect(headers.get('access-control-allow-origin')).toBe('*');
      expect(headers.get('cross-origin-resource-policy')).toBe('cross-origin');
      const asking = { origin: 'https://elsewhere.example', 'access-control-request-headers': 'range' };
      const preflight = await fetch(server.url + path, { method: 'OPTIONS', headers: asking });
      expect([preflight.status, preflight.headers.get('access-control-allow-headers')]).toEqual([204, 'range']);
    }
    const { headers } = await get('/');
    expect(headers.get('content-security-policy')).toContain("connect-src 'self' ws: wss: https: blob:");
  });

  it('what a page asks its server for is none of the API', async () => {
    for (const path of ['/api/models', '/healthz', '/nothing/here']) {
      const { headers } = await get(path);
      expect([headers.get('x-request-id'), headers.get('access-control-allow-origin')]).toEqual([null, null]);
    }
  });
});

it('a server with a public https address sends nobody to https who reaches it without', async () => {
  const server = await startTestServer({ config: { publicUrl: 'https://chorus.example' } });
  try {
    const { headers } = await fetch(`${server.url}/healthz`);
    expect(headers.get('content-security-policy')).not.toContain('upgrade-insecure-requests');
    // Browsers heed it only where the page did come over https.
    expect(headers.get('strict-transport-security')).toContain('max-age=');
  } finally {
    await server.stop();
  }
});

it('who asks too often is told so in a form that pages and OpenAI clients can read', async () => {
  const server = await startTestServer({ config: { limits: { httpRequestsPerMinute: 1 } } });
  try {
    await fetch(`${server.url}/api/models`);
    const refused = await fetch(`${server.url}/v1/models`);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('access-control-allow-origin')).toBe('*');
    expect(refused.headers.get('retry-after')).toBe('60');
    const message = 'too many requests from this address';
    const error = { message, type: 'rate_limit_error', param: null, code: 'rate_limit_exceeded' };
    expect(await refused.json()).toEqual({ error });
    const preflight = await fetch(`${server.url}/v1/chat/completions`, { method: 'OPTIONS' });
    expect(preflight.status).toBe(204);
    const elsewhere = await fetch(`${server.url}/api/models`);
    expect(elsewhere.headers.get('retry-after')).toBe('60');
    expect(await elsewhere.json()).toEqual({ error: { code: 'rate-limited', message } });
    // A busy address must not look like a dead server.
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  } finally {
    await server.stop();
  }
});

it('an address that was sent its share of bytes waits, and others do not', async () => {
  const limits = { downloadBytes: { perSecond: 1, burst: 100 } };
  const server = await startTestServer({ config: { limits, trustProxy: true } });
  try {
    await writeFile(join(server.dataFolder.blobsPath, digest), blob);
    const get = async (address: string) => {
      const response = await fetch(`${server.url}/blobs/${digest}`, { headers: { 'x-forwarded-for': address } });
      await response.arrayBuffer();
      return response.status;
    };
    expect([await get('192.0.2.1'), await get('192.0.2.1'), await get('192.0.2.2')]).toEqual([200, 429, 200]);
  } finally {
    await server.stop();
  }
});

it('the network’s state is written once for all who ask in a second, plain or compressed', async () => {
  const server = await startTestServer({ clock: new FakeClock() });
  try {
    const answers = await Promise.all(
      ['identity', 'gzip'].map((encoding) =>
        fetch(`${server.url}/api/network`, { headers: { 'accept-encoding': encoding } }),
      ),
    );
    expect(answers.map(({ headers }) => headers.get('content-encoding'))).toEqual([null, 'gzip']);
    const [plain, unpacked] = await Promise.all(answers.map((answer) => answer.text()));
    expect(unpacked).toBe(plain);
    expect(networkSnapshotSchema.safeParse(JSON.parse(plain!)).success).toBe(true);
  } finally {
    await server.stop();
  }
});

it('whoever has the network’s state of this second is told so in a word', async () => {
  const clock = new FakeClock();
  const server = await startTestServer({ clock });
  try {
    const ask = (etag = '') => fetch(`${server.url}/api/network`, { headers: { 'if-none-match': etag } });
    const etag = (await ask()).headers.get('etag')!;
    const same = await ask(etag);
    expect([same.status, await same.text()]).toEqual([304, '']);
    await clock.advance(1_100);
    expect((await ask(etag)).status).toBe(200);
  } finally {
    await server.stop();
  }
});

it('a download that is broken off leaves no trace in the log', async () => {
  const logged: string[] = [];
  const printed = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const server = await startTestServer({ onLog: (line) => logged.push(line) });
  try {
    await writeFile(join(server.dataFolder.blobsPath, digest), new Uint8Array(16 * 1024 * 1024));
    const before = logged.length;
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve) => {
        const asked = request(`${server.url}/blobs/${digest}`, (response) => {
          response.once('data', () => asked.destroy());
          response.on('error', () => resolve());
        });
        asked.on('error', () => resolve()).end();
      });
    }
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    expect([logged.slice(before), printed.mock.calls]).toEqual([[], []]);
  } finally {
    printed.mockRestore();
    await server.stop();
  }
});

it('what the API streams arrives piece by piece, uncompressed', async () => {
  const piece = (name: string) => `data: ${name.repeat(2_000)}\n\n`;
  let goOn = (): void => {};
  const router = express.Router().get('/stream', (_request, response) => {
    response.setHeader('content-type', 'text/event-stream; charset=utf-8');
    response.write(piece('a'));
    goOn = () => response.end(piece('b'));
  });
  const startGateway = () => Promise.resolve({ router, stop: () => Promise.resolve() });
  const server = await startTestServer({ companions: { startGateway } });
  try {
    const response = await fetch(`${server.url}/v1/stream`);
    expect(response.headers.get('content-encoding')).toBeNull();
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += decoder.decode(read.value, { stream: true });
      // The rest is written once the first piece is there.
      if (text === piece('a')) goOn();
    }
    expect(text).toBe(piece('a') + piece('b'));
  } finally {
    await server.stop();
  }
});
