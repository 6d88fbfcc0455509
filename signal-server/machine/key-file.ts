import { createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { link, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { peerIdOf, type Identity } from '#shared/crypto/identity.ts';
import { rawPublicKey } from '#shared/crypto/public-key-pem.ts';
import { makeFolder } from './durable-file.ts';
import { explainFileFault, setupError } from './file-fault.ts';

/**
 * The Ed25519 key in `path` (PKCS#8 PEM), made on first use and readable by its owner only. Processes that come at once
 * get the same one. Throws `internal`, for the operator, if it is damaged or cannot be used; it is never replaced.
 */
export async function openKeyFile(path: string): Promise<Identity> {
  let pem: string;
  try {
    pem = (await readIfThere(path)) ?? (await createKey(path));
  } catch (thrown) {
    throw explainFileFault(thrown, path);
  }
  return identityOf(privateKeyIn(pem, path));
}

/** The keys of a data folder that other users of this machine may read. */
export async function keysReadByOthers(folder: string): Promise<string[]> {
  // Windows has no such bits.
  if (process.platform === 'win32') return [];
  const names = await readdir(join(folder, 'keys')).catch(() => []);
  const keys = names.filter((name) => name.endsWith('.key')).map((name) => join(folder, 'keys', name));
  const paths = [join(folder, 'server.key'), join(folder, 'log.key'), ...keys];
  const modes = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ mode }) => mode,
        () => 0,
      ),
    ),
  );
  return paths.filter((_, i) => (modes[i]! & 0o077) !== 0);
}

function privateKeyIn(pem: string, path: string): KeyObject {
  const advice = 'Put a copy of it back from a backup (docs/operating.md, "A bad day")';
  if (pem.trim() === '') throw setupError(`${path} is empty: it should hold a key. ${advice}.`);
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw setupError(`${path} is damaged: it holds no private key in PEM. ${advice}.`);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw setupError(`${path} holds no Ed25519 key. ${advice}.`);
  return key;
}

async function readIfThere(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

async function createKey(path: string): Promise<string> {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  await makeFolder(dirname(path));
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await writeFile(unfinished, pem, { mode: 0o600, flag: 'wx', flush: true });
    // Unlike a rename, a link never replaces the key that another process made meanwhile.
    await link(unfinished, path);
    return pem;
  } catch (error) {
    const isMade = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    const other = isMade ? await readIfThere(path) : null;
    if (other === null) throw error;
    return other;
  } finally {
    await rm(unfinished, { force: true });
  }
}

function identityOf(privateKey: KeyObject): Identity {
  const pem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }) as string;
  const publicKey = rawPublicKey(pem)!;
  return {
    id: peerIdOf(publicKey),
    publicKey,
    sign: (message) => Promise.resolve(new Uint8Array(sign(null, message, privateKey))),
  };
}
