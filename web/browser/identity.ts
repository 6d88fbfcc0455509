import { utf8 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf, verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { KeptRecords } from './kept-records.ts';
import { NotKept, type StorageFault } from './not-kept.ts';
import { takeLock } from './page-lock.ts';
import type { StorageHealth } from './storage-health.ts';

const DATABASE = 'chorus-identity';
const MAX_TABS = 64;

export interface IdentityDeps {
  readonly health: StorageHealth;
  /** Called where the key lasts no longer than the page. */
  readonly onNotKept: (fault: StorageFault) => void;
  readonly clock: Clock;
}

export interface PageIdentity {
  readonly identity: Identity;
  /** Which of this browser profile's keys it is: 0 for the first tab, 1 for one opened beside it, …; null for one that is not kept. */
  readonly slot: number | null;
  /** Lets another tab have the key. Leaving the page does the same. */
  release(): void;
}

/**
 * The key of this tab, made on its first visit. A private key never leaves the browser's key store. Tabs of one profile
 * each get another key, since two peers may not share an id. Where the browser keeps no key, or cannot tell which of them
 * another tab has, it is one for this visit. Rejects with `unsupported` where the browser has no Ed25519, or gives it to pages over HTTPS
 * or from localhost only.
 */
export async function openIdentity(deps: IdentityDeps): Promise<PageIdentity> {
  if (!isSecureContext) {
    throw new ChorusError('unsupported', 'Browsers allow keys only on pages that come over HTTPS or from localhost.');
  }
  const taken = await takeSlot(deps);
  if (taken === null) {
    return { identity: await identityOf(await newKeyPair()), slot: null, release: () => undefined };
  }
  try {
    const { pair, isKept } = await keyPairOf(taken.slot, deps);
    return { identity: await identityOf(pair), slot: isKept ? taken.slot : null, release: taken.release };
  } catch (error) {
    taken.release();
    throw error;
  }
}

/** Null where the browser cannot tell which slots other tabs have. */
async function takeSlot(deps: IdentityDeps): Promise<{ slot: number; release: () => void } | null> {
  try {
    for (let slot = 0; slot < MAX_TABS; slot++) {
      const release = await takeLock(`identity-${slot}`, { ifAvailable: true }, deps);
      if (release !== null) return { slot, release };
    }
  } catch (thrown) {
    if (!(thrown instanceof NotKept)) throw thrown;
    deps.onNotKept(thrown.fault);
    return null;
  }
  throw new ChorusError('unsupported', `More than ${MAX_TABS} tabs of one browser cannot take part.`);
}

/** The pair of this slot, stored now if it is new or the stored one is of no use. */
async function keyPairOf(slot: number, deps: IdentityDeps): Promise<{ pair: CryptoKeyPair; isKept: boolean }> {
  const keys = new KeptRecords<number, CryptoKeyPair>({ ...deps, database: DATABASE, store: 'keys', parse: parsePair });
  try {
    const known = await keys.get(slot);
    if (known !== null && (await isWorking(known))) return { pair: known, isKept: true };
    const pair = await newKeyPair();
    // One that cannot be read now may be read at the next visit.
    return { pair, isKept: keys.fault === null && (await keys.put(slot, pair)) };
  } finally {
    keys.close();
  }
}

function parsePair(stored: unknown): CryptoKeyPair {
  const { privateKey, publicKey } = stored as Partial<CryptoKeyPair>;
  if (privateKey instanceof CryptoKey && publicKey instanceof CryptoKey) return { privateKey, publicKey };
  throw new TypeError('not a key pair');
}

/** True where what the private key signs verifies with the public key. */
async function isWorking(pair: CryptoKeyPair): Promise<boolean> {
  try {
    const identity = await identityOf(pair);
    const message = utf8('chorus');
    return await verifySignature(identity.publicKey, message, await identity.sign(message));
  } catch {
    return false;
  }
}

async function newKeyPair(): Promise<CryptoKeyPair> {
  try {
    return await generateKeyPair();
  } catch {
    throw new ChorusError('unsupported', 'This browser has no Ed25519 keys; a newer one has.');
  }
}
