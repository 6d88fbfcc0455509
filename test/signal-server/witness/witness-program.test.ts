import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { cosignedAt } from '#shared/log/cosignature.ts';
import { consistencyProof, treeRoot } from '#shared/log/merkle.ts';
import { formatVerifierKey, isSignedBy, parseNote, parseSignature, parseVerifierKey } from '#shared/log/signed-note.ts';
import { formatAddCheckpoint } from '#shared/log/witness.ts';
import { logPrefix } from '../../../signal-server/log/fetch-log.ts';
import type { RunningWitness } from '../../../signal-server/witness/witness-program.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { listen, newFolder, removeFolder, runWitness, type Listening } from '../../support/log-stand.ts';
import { checkpointNote, logKeyOf, treeOf } from '../../support/signed-notes.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const [log, stranger] = (await makeIdentities(2)) as [Signer, Signer];
type Signer = Awaited<ReturnType<typeof makeIdentities>>[number];
const origin = 'log.example/chorus';
const read = treeOf(Array.from({ length: 40 }, (_, i) => utf8(`entry ${i}`)));
const forked = treeOf(Array.from({ length: 40 }, (_, i) => utf8(i < 10 ? `entry ${i}` : `other ${i}`)));
const noteAt = (size: number, tree = read, by = log) =>
  checkpointNote(by, { origin, size, root: treeRoot(size, tree) });
const bodyOf = async (from: number, to: number, tree = read) =>
  formatAddCheckpoint(from, consistencyProof(from, to, tree), await noteAt(to, tree));

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function folder(): Promise<string> {
  const made = await newFolder();
  cleanups.push(() => removeFolder(made));
  return made;
}

/** A server that shows nothing but the key of its log. */
async function keyServer(vkey = formatVerifierKey(logKeyOf(log, origin))): Promise<Listening> {
  const server = await listen((request, response) => {
    response.statusCode = request.url === '/log/vkey' ? 200 : 404;
    response.end(`${vkey}\n`);
  });
  cleanups.push(() => server.stop());
  return server;
}

async function start(dataFolder: string, logUrl: URL, name: string | null = null): Promise<RunningWitness> {
  const witness = await runWitness(logUrl, dataFolder, name);
  cleanups.push(() => witness.stop());
  return witness;
}

const post = (witness: RunningWitness, body: string | Uint8Array<ArrayBuffer>) =>
  fetch(`http://127.0.0.1:${witness.port}/add-checkpoint`, { method: 'POST', body });
const newest = (witness: RunningWitness) =>
  fetch(`http://127.0.0.1:${witness.port}/${digestOf(utf8(origin))}/checkpoint`);

describe('a witness program', () => {
  it('cosigns what grows, and shows the newest to everybody', async () => {
    const witness = await start(await folder(), (await keyServer()).url, 'witness.example/w1');
    const key = parseVerifierKey(witness.verifierKey);
    expect(key.name).toBe('witness.example/w1');
    expect((await newest(witness)).status).toBe(404);
    for (const [from, to] of [
      [0, 3],
      [3, 3],
      [3, 20],
    ] as const) {
      const answer = await post(witness, await bodyOf(from, to));
      expect(answer.status).toBe(200);
      const note = parseNote(await noteAt(to));
      const line = await answer.text();
      expect(line.endsWith('\n')).toBe(true);
      const cosigned = { text: note.text, signatures: [parseSignature(line.slice(0, -1))] };
      const timeSeconds = await cosignedAt(cosigned, key, verify);
      expect(Math.abs(timeSeconds! - Date.now() / 1000)).toBeLessThan(60);
    }
    const shown = await newest(witness);
    expect(shown.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(shown.headers.get('access-control-allow-origin')).toBe('*');
    const note = parseNote(await shown.text());
    expect(parseCheckpoint(note.text).size).toBe(20);
    expect(await isSignedBy(note, logKeyOf(log, origin), verify)).toBe(true);
    expect(await cosignedAt(note, key, verify)).not.toBeNull();
  });

  it('refuses a fork, also after it was started anew', async () => {
    const [data, server] = [await folder(), await keyServer()];
    const first = await runWitness(server.url, data);
    expect((await post(first, await bodyOf(0, 12))).status).toBe(200);
    expect((await post(first, await bodyOf(12, 20, forked))).status).toBe(422);
    await first.stop();
    const second = await start(data, server.url);
    expect(second.verifierKey).toBe(first.verifierKey);
    expect((await post(second, await bodyOf(12, 20, forked))).status).toBe(422);
    expect((await post(second, await bodyOf(12, 12, forked))).status).toBe(422);
    const late = await post(second, await bodyOf(0, 20, forked));
    expect(late.status).toBe(409);
    expect(late.headers.get('content-type')).toBe('text/x.tlog.size');
    expect(await late.text()).toBe('12\n');
    expect((await post(second, await bodyOf(12, 20))).status).toBe(200);
  });

  it('lets one of two branches win when they come together', async () => {
    const witness = await start(await folder(), (await keyServer()).url);
    const bodies = await Promise.all(Array.from({ length: 20 }, (_, i) => bodyOf(0, 11 + i, i % 2 ? forked : read)));
    const statuses = await Promise.all(bodies.map(async (body) => (await post(witness, body)).status));
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(19);
  });

  it.each([
    ['nothing', 400, async () => ''],
    ['what is no request', 400, async () => 'old 0\n\nhello\n'],
    ['what is not UTF-8', 400, async () => Uint8Array.of(0xff, 0xfe)],
    ['an unknown log', 404, async () => (await bodyOf(0, 3)).replace(origin, 'other.example')],
    ['a checkpoint of a stranger', 403, async () => formatAddCheckpoint(0, [], await noteAt(3, read, stranger))],
    ['an old size above the new', 400, async () => formatAddCheckpoint(4, [], await noteAt(3))],
    ['too much', 413, async () => 'x'.repeat(100_000)],
  ])('answers %s with %i', async (_, status, make) => {
    const witness = await start(await folder(), (await keyServer()).url);
    expect((await post(witness, await make())).status).toBe(status);
  });

  it('answers nothing but its two routes', async () => {
    const witness = await start(await folder(), (await keyServer()).url);
    const status = async (path: string, init?: RequestInit) =>
      (await fetch(`http://127.0.0.1:${witness.port}${path}`, init)).status;
    expect(await status('/add-checkpoint')).toBe(405);
    expect(await status('/')).toBe(404);
    expect(await status('/not-a-digest/checkpoint')).toBe(404);
    expect(await status(`/${'0'.repeat(64)}/checkpoint`)).toBe(404);
  });

  it('does not start for a log that shows another key than before', async () => {
    const data = await folder();
    await (await runWitness((await keyServer()).url, data)).stop();
    const other = await keyServer(formatVerifierKey(logKeyOf(stranger, origin)));
    expect(await codeOfAsync(runWitness(other.url, data))).toBe('wrong-peer');
  });

  it('starts for a log it knows that cannot be reached, and not for one it has never seen', async () => {
    const [data, server] = [await folder(), await keyServer()];
    await (await runWitness(server.url, data)).stop();
    const nowhere = new URL('http://127.0.0.1:1');
    const witness = await start(data, nowhere);
    expect(witness.unreachable).toHaveLength(1);
    expect((await post(witness, await bodyOf(0, 3))).status).toBe(200);
    expect(await codeOfAsync(runWitness(nowhere, await folder()))).toBe('server-lost');
  });

  it('has one name, and one process', async () => {
    const [data, server] = [await folder(), await keyServer()];
    const first = await runWitness(server.url, data, 'witness.example');
    expect(await codeOfAsync(runWitness(server.url, data))).toBe('internal');
    await first.stop();
    expect(await codeOfAsync(runWitness(server.url, data, 'other.example'))).toBe('internal');
    const second = await start(data, server.url);
    expect(second.verifierKey).toBe(first.verifierKey);
  });

  it.each([
    ['http://a.example', 'http://a.example/log/'],
    ['http://a.example/', 'http://a.example/log/'],
    ['http://a.example/log', 'http://a.example/log/'],
    ['http://a.example/deep/', 'http://a.example/deep/log/'],
  ])('looks for the log of %s at %s', (url, prefix) => {
    expect(logPrefix(new URL(url)).href).toBe(prefix);
  });
});

describe('chorus witness', { timeout: 120_000 }, () => {
  it('says what the log has to add, forgets nothing when killed, and ends when told to', async () => {
    const [data, server] = [await folder(), await keyServer()];
    const run = async () => {
      const args = ['bin/chorus.mjs', 'witness', '--log', server.url.href, '--host', '127.0.0.1', '--port', '0'];
      const child = spawn(process.execPath, [...args, '--data', data], {
        cwd: fileURLToPath(new URL('../../../', import.meta.url)),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      cleanups.push(async () => void child.kill('SIGKILL'));
      let output = '';
      child.stdout.on('data', (data: Buffer) => (output += data.toString()));
      await vi.waitFor(() => expect(output).toContain('--witness'), { timeout: 30_000 });
      const [, verifierKey, url] = /--witness '(\S+) (\S+)'/.exec(output)!;
      return { child, witness: { verifierKey: verifierKey!, port: Number(new URL(url!).port) } as RunningWitness };
    };
    const first = await run();
    expect((await post(first.witness, await bodyOf(0, 12))).status).toBe(200);
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const second = await run();
    expect(second.witness.verifierKey).toBe(first.witness.verifierKey);
    expect((await post(second.witness, await bodyOf(12, 20, forked))).status).toBe(422);
    second.child.kill('SIGTERM');
    expect(await once(second.child, 'exit')).toEqual([0, null]);
  });
});
