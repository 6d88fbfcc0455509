import { createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { peerIdOf, type Identity } from '#shared/crypto/identity.ts';
import { rawPublicKey } from '#shared/crypto/public-key-pem.ts';
import { makeFolder } from './durable-file.ts';

/**
 * The Ed25519 key in `path` (PKCS#8 PEM), made on first use and readable by its owner only. Processes that come at once
 * get the same one. Throws if it is damaged; it is never replaced.
 */
export async function openKeyFile(path: string): Promise<Identity> {
  const pem = (await readIfThere(path)) ?? (await createKey(path));
  return identityOf(createPrivateKey(pem));
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
  const publicKey = rawPublicKey(pem);
  if (publicKey === null) throw new Error('the key file holds no Ed25519 key');
  return {
    id: peerIdOf(publicKey),
    publicKey,
    sign: (message) => Promise.resolve(new Uint8Array(sign(null, message, privateKey))),
  };
}
