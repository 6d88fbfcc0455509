import { cp, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { parseCheckpoint } from '#shared/log/checkpoint.ts';
import { isIncluded, leafHash } from '#shared/log/merkle.ts';
import { evaluatePolicy, parsePolicy } from '#shared/log/policy.ts';
import {
  COSIGNATURE,
  ED25519,
  formatVerifierKey,
  isSignedBy,
  parseNote,
  parseVerifierKey,
} from '#shared/log/signed-note.ts';
import { decodeEntries } from '#shared/log/tile-path.ts';
import { parseTlogProof } from '#shared/log/tlog-proof.ts';
import { parseWitnessAddress } from '../../../signal-server/machine/witness-address.ts';
import { openSqliteStore } from '../../../signal-server/store/sqlite/sqlite-store.ts';
import { codeOf } from '../../support/code-of.ts';
import {
  addressOf,
  listen,
  newFolder,
  removeFolder,
  runWitness,
  serveLog,
  type ServedLog,
} from '../../support/log-stand.ts';

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

async function witnessOf(log: ServedLog, name: string, data?: string) {
  const witness = await runWitness(log.url, data ?? (await folder()), name);
  cleanups.push(() => witness.stop());
  return witness;
}

const entryOf = (i: number) => utf8(`entry ${i}`);
const fill = (log: ServedLog, from: number, to: number) =>
  Promise.all(Array.from({ length: to - from }, (_, i) => log.service.append(entryOf(from + i))));

/** Checks a proof as a stranger with a policy does. */
async function check(proof: string, entry: Uint8Array, policy: string) {
  const { index, hashes, checkpoint } = parseTlogProof(proof);
  const note = parseNote(checkpoint);
  const { size, root } = parseCheckpoint(note.text);
  const verdict = await evaluatePolicy(parsePolicy(policy), note, verify);
  return { ...verdict, isIncluded: isIncluded(leafHash(entry), index, size, hashes, root) };
}

describe('the log of a server', { timeout: 60_000 }, () => {
  it('proves what it took, with the cosignatures of two witnesses', async () => {
    const data = await folder();
    const first = await start(data);
    const names = ['one.example', 'two.example'];
    const witnesses = await Promise.all(names.map((name) => witnessOf(first, name)));
    await first.stop();
    const log = await start(data, { witnesses: witnesses.map(addressOf) });
    const indices = await fill(log, 0, 300);
    expect(indices).toEqual(Array.from({ length: 300 }, (_, i) => i));
    const policy = `log ${log.service.verifierKey}
witness 1 ${witnesses[0]!.verifierKey}
witness 2 ${witnesses[1]!.verifierKey}
group both all 1 2
quorum both
`;
    const verdict = await check(await log.service.prove(299, waitMs), entryOf(299), policy);
    expect(verdict).toMatchObject({ isSatisfied: true, isIncluded: true });
    expect(verdict.cosigners).toHaveLength(2);
    expect(await check(await log.service.prove(5, waitMs), entryOf(5), policy)).toMatchObject({
      isSatisfied: true,
      isIncluded: true,
    });
    const { status } = log.service;
    expect(status).toMatchObject({ size: 300, added: 300, doubt: null });
    expect(status.witnesses.map(({ name, size, error }) => ({ name, size, error }))).toEqual(
      names.map((name) => ({ name, size: 300, error: null })),
    );
    // Everybody who reads the checkpoint sees who cosigned it.
    const shown = parseNote(await (await fetch(new URL('/log/checkpoint', log.url))).text());
    expect((await evaluatePolicy(parsePolicy(policy), shown, verify)).isSatisfied).toBe(true);
  });

  it('does not wait for a witness that does not answer, and asks it again later', async () => {
    const data = await folder();
    let isDeaf = true;
    const first = await start(data);
    const witness = await witnessOf(first, 'slow.example');
    await first.stop();
    // Stands before the witness and swallows what comes.
    const gate = await listen((request, response) => {
      if (isDeaf) return;
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const target = `http://127.0.0.1:${witness.port}${request.url}`;
        void fetch(target, { method: 'POST', body: Buffer.concat(chunks) }).then(async (answer) => {
          response.writeHead(answer.status, Object.fromEntries(answer.headers));
          response.end(await answer.text());
        });
      });
    });
    cleanups.push(() => gate.stop());
    const witnesses = [parseWitnessAddress(`${witness.verifierKey} ${gate.url.href}`)];
    const log = await start(data, { witnesses, unwitnessedStart: true });
    await fill(log, 0, 5);
    expect(log.service.status.witnesses[0]).toMatchObject({ size: null });
    const policy = `log ${log.service.verifierKey}\nwitness w ${witness.verifierKey}\nquorum w\n`;
    const early = await check(await log.service.prove(4, 50), entryOf(4), policy);
    expect(early).toMatchObject({ isIncluded: true, log: {}, hasQuorum: false });
    isDeaf = false;
    await vi.waitFor(() => expect(log.service.status.witnesses[0]).toMatchObject({ size: 5, error: null }), {
      timeout: 3 * waitMs,
      interval: 100,
    });
    expect(await check(await log.service.prove(4), entryOf(4), policy)).toMatchObject({ isSatisfied: true });
  });

  it('goes on with a witness that knows more than was kept of it', async () => {
    const data = await folder();
    const first = await start(data);
    const witness = await witnessOf(first, 'witness.example');
    await first.stop();
    const second = await start(data, { witnesses: [addressOf(witness)] });
    await fill(second, 0, 3);
    await second.service.prove(2, waitMs);
    await second.stop();
    await rm(join(data, 'witnesses'), { recursive: true });
    const third = await start(data, { witnesses: [addressOf(witness)] });
    await fill(third, 3, 9);
    await third.service.prove(8, waitMs);
    expect(third.service.status.witnesses[0]).toMatchObject({ size: 9, error: null });
  });

  it('keeps cosignatures, and drops those that were tampered with', async () => {
    const data = await folder();
    const first = await start(data);
    const witness = await witnessOf(first, 'witness.example');
    await first.stop();
    const address = addressOf(witness);
    const second = await start(data, { witnesses: [address] });
    await fill(second, 0, 3);
    await second.service.prove(2, waitMs);
    await second.stop();
    await witness.stop();
    const third = await start(data, { witnesses: [address] });
    expect(third.service.status.witnesses[0]).toMatchObject({ size: 3 });
    const policy = `log ${third.service.verifierKey}\nwitness w ${witness.verifierKey}\nquorum w\n`;
    expect(await check(await third.service.prove(1), entryOf(1), policy)).toMatchObject({ isSatisfied: true });
    await third.stop();
    const [name] = await readdir(join(data, 'witnesses'));
    const path = join(data, 'witnesses', name!);
    await writeFile(path, (await readFile(path, 'utf8')).replace(/(.{10})=?\n$/, 'AAAAAAAAA=\n'));
    const fourth = await start(data, { witnesses: [address] });
    expect(fourth.service.status.witnesses[0]).toMatchObject({ size: null });
  });

  it('stops, and says why, when a witness shows what was lost by putting a copy back', async () => {
    const data = await folder();
    const first = await start(data);
    const witness = await witnessOf(first, 'witness.example');
    await fill(first, 0, 3);
    await first.stop();
    const copy = await folder();
    await cp(data, copy, { recursive: true });
    const second = await start(data, { witnesses: [addressOf(witness)] });
    await fill(second, 3, 9);
    await second.service.prove(8, waitMs);
    await second.stop();
    // The database is of the same old copy, so only the witness knows.
    const third = await start(copy, { witnesses: [addressOf(witness)] });
    // It may answer only after the start has gone on.
    await expect.poll(() => third.doubts, { timeout: waitMs }).toHaveLength(1);
    expect(third.doubts[0]).toContain('the transparency log is in doubt');
    expect(third.service.status.doubt).toBe(third.doubts[0]);
    await expect(third.service.append(entryOf(3))).rejects.toThrow('in doubt');
    await third.stop();
    // Kept beside the log, the cosigned checkpoint says so before anything else happens.
    await cp(join(data, 'witnesses'), join(copy, 'witnesses'), { recursive: true });
    await expect(serveLog(copy, { witnesses: [addressOf(witness)] })).rejects.toThrow('in doubt');
  });

  it('does not believe a witness that only says so', async () => {
    const data = await folder();
    const first = await start(data);
    const witness = await witnessOf(first, 'witness.example');
    await first.stop();
    const liar = await listen((request, response) => {
      const isAsked = request.url === '/add-checkpoint';
      response.writeHead(isAsked ? 409 : 404, { 'Content-Type': 'text/x.tlog.size' }).end('999999\n');
    });
    cleanups.push(() => liar.stop());
    const witnesses = [parseWitnessAddress(`${witness.verifierKey} ${liar.url.href}`)];
    const log = await start(data, { witnesses, unwitnessedStart: true });
    await fill(log, 0, 3);
    await expect.poll(() => log.service.status.witnesses[0]?.error, { timeout: waitMs }).toContain('does not show it');
    expect(await log.service.append(entryOf(3))).toBe(3);
    expect(log.doubts).toEqual([]);
  });

  it.each([
    ['another witness’s signature', 'stranger'],
    ['nothing', ''],
    ['what is no signature', 'hello\n'],
    ['more than is read', 'x'.repeat(100_000)],
  ])('keeps nothing of a witness that answers with %s', async (_, answer) => {
    const data = await folder();
    const first = await start(data);
    const [witness, stranger] = [await witnessOf(first, 'witness.example'), await witnessOf(first, 'stranger.example')];
    await first.stop();
    const gate = await listen((request, response) => {
      if (answer !== 'stranger') return void response.end(answer);
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const target = `http://127.0.0.1:${stranger.port}${request.url}`;
        void fetch(target, { method: 'POST', body: Buffer.concat(chunks) }).then(async (got) =>
          response.end(await got.text()),
        );
      });
    });
    cleanups.push(() => gate.stop());
    const witnesses = [parseWitnessAddress(`${witness.verifierKey} ${gate.url.href}`)];
    const log = await start(data, { witnesses, unwitnessedStart: true });
    await fill(log, 0, 3);
    await expect.poll(() => log.service.status.witnesses[0]?.error, { timeout: waitMs }).not.toBeNull();
    expect(log.service.status.witnesses[0]).toMatchObject({ size: null, timeSeconds: null });
    expect(parseNote(parseTlogProof(await log.service.prove(2)).checkpoint).signatures).toHaveLength(1);
  });
});

describe('the name of a log', () => {
  it('is made of the key, and stays', async () => {
    const data = await folder();
    const first = await start(data);
    const { origin } = first.service.status;
    expect(origin).toMatch(/^[0-9a-f]{16}\.localhost\/log$/);
    await fill(first, 0, 1);
    await first.stop();
    expect((await start(data)).service.status.origin).toBe(origin);
  });

  it('is made of the public URL, or chosen', async () => {
    const publicUrl = 'https://chorus.example/deep/';
    expect((await start(await folder(), { publicUrl })).service.status.origin).toBe('chorus.example/deep/log');
    const chosen = await start(await folder(), { publicUrl, origin: 'log.example' });
    expect(parseVerifierKey(chosen.service.verifierKey).name).toBe('log.example');
  });

  it('cannot change once there are entries, and the refusal says how to go on', async () => {
    const data = await folder();
    const first = await start(data);
    const { origin } = first.service.status;
    await first.stop();
    const second = await start(data, { publicUrl: 'https://chorus.example' });
    await fill(second, 0, 1);
    await second.stop();
    await expect(serveLog(data, { origin, publicUrl: 'https://chorus.example' })).rejects.toThrow(
      '--log-origin chorus.example/log',
    );
    expect((await start(data, { origin: 'chorus.example/log' })).service.status.size).toBe(1);
  });

  it('stays what it is, once there are entries, whatever the public URL', async () => {
    const data = await folder();
    const first = await start(data);
    const { origin } = first.service.status;
    await fill(first, 0, 1);
    await first.stop();
    const second = await start(data, { publicUrl: 'https://chorus.example' });
    expect(second.service.status).toMatchObject({ origin, size: 1 });
  });
});

describe('an older copy of a log', () => {
  it('is noticed by the database', async () => {
    const [data, copy] = [await folder(), await folder()];
    const first = await start(data);
    await fill(first, 0, 2);
    await cp(join(data, 'log'), join(copy, 'log'), { recursive: true });
    await fill(first, 2, 5);
    await first.stop();
    const store = await openSqliteStore(data);
    expect(store.acknowledged.read(first.service.status.origin)).toBe(5);
    await store.acknowledged.write(first.service.status.origin, 4);
    expect(store.acknowledged.read(first.service.status.origin)).toBe(5);
    expect(store.acknowledged.read('other.example')).toBe(0);
    await store.close();
    await rm(join(data, 'log'), { recursive: true });
    await cp(join(copy, 'log'), join(data, 'log'), { recursive: true });
    await expect(serveLog(data)).rejects.toThrow('it has 2 entries, but 5 were acknowledged');
  });
});

describe('a log whose checkpoint was lost', () => {
  const publicUrl = 'https://chorus.example';

  /** A data folder whose log once was empty and now has entries, and that empty copy. */
  async function lived() {
    const [data, copy] = [await folder(), await folder()];
    await (await start(data)).stop();
    await cp(join(data, 'log'), join(copy, 'log'), { recursive: true });
    const log = await start(data);
    const { origin } = log.service.status;
    await fill(log, 0, 3);
    await log.stop();
    return { data, origin, empty: join(copy, 'log', 'checkpoint') };
  }
  const tilesOf = (data: string) => readFile(join(data, 'log/tile/entries/000.p/3'));

  it.each([
    ['under the same name', {}],
    ['under the name that a public URL gives', { publicUrl }],
    ['under a chosen name', { origin: 'new.example/log' }],
  ])('does not begin anew over its files %s, be the checkpoint missing or an empty one', async (_, options) => {
    const { data, empty } = await lived();
    const before = await tilesOf(data);
    await rm(join(data, 'log', 'checkpoint'));
    await expect(serveLog(data, options)).rejects.toThrow('the transparency log is in doubt');
    await cp(empty, join(data, 'log', 'checkpoint'));
    await expect(serveLog(data, options)).rejects.toThrow('the transparency log is in doubt');
    expect(await tilesOf(data)).toEqual(before);
    expect(await readFile(join(data, 'log', 'checkpoint'))).toEqual(await readFile(empty));
  });

  it('does not begin anew where a name that was chosen is no longer said', async () => {
    const data = await folder();
    const log = await start(data, { origin: 'chosen.example' });
    await fill(log, 0, 3);
    await log.stop();
    await rm(join(data, 'log', 'checkpoint'));
    await expect(serveLog(data)).rejects.toThrow('it has no entries, but 3 of chosen.example were acknowledged');
  });

  it('does not begin anew over its files where the database is lost too', async () => {
    const { data } = await lived();
    for (const name of ['chorus.sqlite', 'log/checkpoint']) await rm(join(data, name));
    await expect(serveLog(data, { origin: 'new.example/log' })).rejects.toThrow('its checkpoint is missing');
  });

  it('begins anew under a name that the operator chooses, once all its files are put away', async () => {
    const { data, origin } = await lived();
    for (const name of ['log', 'log.key']) await rm(join(data, name), { recursive: true });
    await expect(serveLog(data)).rejects.toThrow(`it has no entries, but 3 of ${origin} were acknowledged`);
    await expect(serveLog(data, { publicUrl })).rejects.toThrow('--log-origin');
    await expect(serveLog(data, { origin })).rejects.toThrow('its checkpoint is missing');
    const options = { origin: 'new.example/log' };
    await (await start(data, options)).stop();
    const log = await start(data, options);
    await fill(log, 0, 1);
    await log.stop();
    expect((await start(data)).service.status).toMatchObject({ origin: 'new.example/log', size: 1 });
  });

  it('takes another name as long as it has no entries, also after its first batch was cut off', async () => {
    const data = await folder();
    await (await start(data)).stop();
    await mkdir(join(data, 'log/tile/entries/000.p'), { recursive: true });
    await writeFile(join(data, 'log/tile/entries/000.p/1'), 'x');
    const log = await start(data, { publicUrl });
    await fill(log, 0, 1);
    expect(log.service.status).toMatchObject({ origin: 'chorus.example/log', size: 1 });
  });
});

describe('a log that can no longer be written', () => {
  it('says so to the operator once, with the file, and to others without it', async () => {
    const data = await folder();
    const log = await start(data);
    await fill(log, 0, 3);
    await rm(join(data, 'log'), { recursive: true });
    await writeFile(join(data, 'log'), 'in the way');
    const outcomes = await Promise.allSettled([3, 4, 5].map((i) => log.service.append(entryOf(i))));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(log.service.append(entryOf(6))).rejects.toThrow('in doubt: it cannot be written');
    const { doubt } = log.service.status;
    expect(doubt).toContain('it cannot be written');
    expect(doubt).not.toContain('an older copy');
    expect(doubt).not.toContain(data);
    expect(log.doubts).toHaveLength(1);
    expect(log.doubts[0]).toContain(doubt);
    expect(log.doubts[0]).toContain(data);
  });

  it('goes on by itself once it can be written again', async () => {
    const data = await folder();
    let goneOn = 0;
    const log = await start(data, { onGoingOn: () => (goneOn += 1) });
    await fill(log, 0, 3);
    await rename(join(data, 'log'), join(data, 'aside'));
    await writeFile(join(data, 'log'), 'in the way');
    await expect(log.service.append(entryOf(3))).rejects.toThrow('it cannot be written');
    await rm(join(data, 'log'));
    await rename(join(data, 'aside'), join(data, 'log'));
    await vi.waitFor(() => expect(log.service.status.doubt).toBeNull(), { timeout: waitMs, interval: 50 });
    expect([await log.service.append(entryOf(3)), goneOn, log.doubts.length]).toEqual([3, 1, 1]);
  });
});

describe('the time of the newest checkpoint', () => {
  it('is when it was signed, and after a start when its file was changed', async () => {
    const data = await folder();
    const first = await start(data);
    await fill(first, 0, 1);
    const signedAtMs = first.service.status.headAtMs;
    await first.stop();
    const path = join(data, 'log', 'checkpoint');
    expect(Math.abs((await stat(path)).mtimeMs - signedAtMs)).toBeLessThan(waitMs);
    await utimes(path, 1_700_000_000, 1_700_000_000);
    const second = await start(data);
    expect(second.service.status.headAtMs).toBe(1_700_000_000_000);
    const beforeMs = Date.now();
    await fill(second, 1, 2);
    expect(second.service.status.headAtMs).toBeGreaterThanOrEqual(beforeMs);
  });
});

describe('the routes of a log', () => {
  it('show its key, its checkpoint and its tiles to everybody', async () => {
    const log = await start(await folder());
    await fill(log, 0, 300);
    const get = (path: string) => fetch(new URL(`/log/${path}`, log.url));
    const vkey = await get('vkey');
    expect(await vkey.text()).toBe(`${log.service.verifierKey}\n`);
    const checkpoint = await get('checkpoint');
    expect(checkpoint.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(checkpoint.headers.get('cache-control')).toBe('public, max-age=2');
    expect(checkpoint.headers.get('access-control-allow-origin')).toBe('*');
    const note = parseNote(await checkpoint.text());
    expect(await isSignedBy(note, parseVerifierKey(log.service.verifierKey), verify)).toBe(true);
    const tile = await get('tile/0/000');
    expect(tile.headers.get('content-type')).toBe('application/octet-stream');
    expect(tile.headers.get('cache-control')).toContain('immutable');
    expect(new Uint8Array(await tile.arrayBuffer()).slice(0, 32)).toEqual(leafHash(entryOf(0)));
    const part = new Uint8Array(await (await get('tile/entries/001.p/44')).arrayBuffer());
    expect(decodeEntries(part)).toEqual(Array.from({ length: 44 }, (_, i) => entryOf(256 + i)));
  });

  it.each([
    'tile/0/001',
    'tile/0/001.p/45',
    'tile/2/000',
    'tile/0/000.p/0',
    'tile/0/..%2f..%2fcheckpoint',
    'tile/',
    'x',
  ])('show nothing at %s', async (path) => {
    const log = await start(await folder());
    await fill(log, 0, 300);
    expect((await fetch(new URL(`/log/${path}`, log.url))).status).toBe(404);
  });
});

describe('the address of a witness', () => {
  const key = { name: 'w.example', type: COSIGNATURE, publicKey: new Uint8Array(32) };
  const vkey = formatVerifierKey(key);

  it('is its key and its URL', () => {
    const { url, ...rest } = parseWitnessAddress(` ${vkey}\thttps://w.example/prefix `);
    expect(rest).toEqual({ key });
    expect(url.href).toBe('https://w.example/prefix/');
  });

  it.each([
    ['no URL', vkey],
    ['no key', 'https://w.example'],
    ['another scheme', `${vkey} ftp://w.example`],
    ['a third item', `${vkey} https://w.example more`],
    ['a damaged key', `${vkey.replace(/A$/, 'B')} https://w.example`],
    ['the key of a log', `${formatVerifierKey({ ...key, type: ED25519 })} https://w.example`],
  ])('is refused with %s', (_, text) => {
    expect(codeOf(() => parseWitnessAddress(text))).toBe('bad-message');
  });
});
