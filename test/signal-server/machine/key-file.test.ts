import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { keysReadByOthers, openKeyFile } from '../../../signal-server/machine/key-file.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chorus-key-'));
  path = join(folder, 'keys/some.key');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('openKeyFile', () => {
  it('makes a key that signs, once, and lets only its owner read it', async () => {
    const made = await openKeyFile(path);
    const message = new Uint8Array([1, 2, 3]);
    expect(await verifySignature(made.publicKey, message, await made.sign(message))).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await openKeyFile(path)).id).toBe(made.id);
  });

  it('gives all who come at once the same key and leaves one file', async () => {
    const identities = await Promise.all(Array.from({ length: 8 }, () => openKeyFile(path)));
    expect(new Set(identities.map(({ id }) => id)).size).toBe(1);
    expect(await readdir(join(folder, 'keys'))).toEqual(['some.key']);
  });

  it('never replaces a file that holds no key', async () => {
    await openKeyFile(path);
    await writeFile(path, 'not a key');
    await expect(openKeyFile(path)).rejects.toThrow();
    expect(await readFile(path, 'utf8')).toBe('not a key');
  });

  it.each([
    ['is empty', ''],
    ['is damaged', '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ'],
  ])('names a file that %s, and what to do', async (what, content) => {
    await openKeyFile(path);
    await writeFile(path, content);
    const details = { exitStatus: 2 };
    await expect(openKeyFile(path)).rejects.toMatchObject({
      message: expect.stringMatching(`${path} ${what}`) as string,
      details,
    });
    await expect(openKeyFile(path)).rejects.toThrow('Put a copy of it back');
  });

  it('names a file in whose place a folder lies', async () => {
    await mkdir(path, { recursive: true });
    await expect(openKeyFile(path)).rejects.toThrow(`${path} cannot be used: something else lies there`);
  });

  it('knows which keys of a data folder others may read', async () => {
    await openKeyFile(path);
    await openKeyFile(join(folder, 'server.key'));
    expect(await keysReadByOthers(folder)).toEqual([]);
    await chmod(path, 0o640);
    expect(await keysReadByOthers(folder)).toEqual([path]);
  });
});
