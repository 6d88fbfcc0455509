import { openDB, type DBSchema } from 'idb';
import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';

const DATABASE = 'chorus-identity';
const MAX_TABS = 64;

interface KeySchema extends DBSchema {
  keys: { key: number; value: CryptoKeyPair };
}

export interface PageIdentity {
  readonly identity: Identity;
  /** Which of this browser profile's keys it is: 0 for the first tab, 1 for one opened beside it, … */
  readonly slot: number;
  /** False where the browser keeps nothing, as in some private windows: the next visit is somebody new. */
  readonly isKept: boolean;
  /** Lets another tab have the key. Leaving the page does the same. */
  release(): void;
}

/**
 * The key of this tab, made on its first visit. A private key never leaves the browser's key store. Tabs of one profile
 * each get another key, since two peers may not share an id. Rejects with `unsupported` where the browser has no
 * Ed25519, or gives it to pages over HTTPS or from localhost only.
 */
export async function openIdentity(): Promise<PageIdentity> {
  if (!isSecureContext) {
    throw new ChorusError('unsupported', 'Browsers allow keys only on pages that come over HTTPS or from localhost.');
  }
  const { slot, release } = await takeSlot();
  try {
    const kept = await keptKeyPair(slot);
    return { identity: await identityOf(kept ?? (await newKeyPair())), slot, isKept: kept !== null, release };
  } catch (error) {
    release();
    throw error;
  }
}

async function takeSlot(): Promise<{ slot: number; release: () => void }> {
  for (let slot = 0; slot < MAX_TABS; slot++) {
    const release = await tryLock(`identity-${slot}`);
    if (release) return { slot, release };
  }
  throw new ChorusError('unsupported', `More than ${MAX_TABS} tabs of one browser cannot take part.`);
}

/** Holds the lock until the returned function is called or the page goes; null if another tab has it. */
function tryLock(name: string): Promise<(() => void) | null> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise<void>((release) => resolve(release));
      })
      .catch(reject);
  });
}

/** The pair of this slot, stored now if it is new; null where the browser stores nothing. */
async function keptKeyPair(slot: number): Promise<CryptoKeyPair | null> {
  let database;
  try {
    database = await openDB<KeySchema>(DATABASE, 1, { upgrade: (db) => void db.createObjectStore('keys') });
  } catch {
    return null;
  }
  try {
    const known = await database.get('keys', slot);
    if (known) return known;
    const pair = await newKeyPair();
    await database.put('keys', pair, slot);
    return pair;
  } finally {
    database.close();
  }
}

async function newKeyPair(): Promise<CryptoKeyPair> {
  try {
    return await generateKeyPair();
  } catch {
    throw new ChorusError('unsupported', 'This browser has no Ed25519 keys; a newer one has.');
  }
}
