import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { basename, posix } from 'node:path';
import type { Identity } from '#shared/crypto/identity.ts';
import { publicKeyHint, publicKeyPem } from '#shared/crypto/public-key-pem.ts';
import { ChorusError } from '#shared/errors.ts';
import type { ModelSource } from '#shared/model/model-source.ts';
import {
  compareSourceFiles,
  isIgnoredPath,
  MAX_OMS_BYTES,
  OMS_FILE,
  omsRoot,
  omsStatement,
  parseOmsBundle,
  readOmsContent,
  signOms,
  sortSourceFiles,
  verifyOmsSignature,
  type OmsBundle,
  type SourceFile,
} from '#shared/model/oms.ts';
import { readInsideIfThere } from './model-folder.ts';
import { hashSourceFiles, listSourceFile, listSourceFiles, type SourceListing } from './source-files.ts';

/** Paths that the reference signer leaves out unasked. */
const GIT_PATHS = ['.git', '.gitattributes', '.github', '.gitignore'];
/** Paths that no signature of ours covers; the traces of a download differ from one machine to the next. */
export const IGNORED_PATHS = [...GIT_PATHS, '.cache', OMS_FILE];

export interface SourceOptions {
  /** Signs where the folder has no signature; null leaves it unsigned. */
  readonly signer: Identity | null;
  /** The publisher's public key, as PEM: the folder's signature must be by it. */
  readonly publisherKey?: string | undefined;
  readonly origin: string | null;
}

/** A folder that is being imported: listed before its files are read, hashed after, so that both saw the same. */
export class OpenSource {
  readonly #listing: SourceListing;
  readonly #bundle: OmsBundle | null;

  constructor(listing: SourceListing, bundle: OmsBundle | null) {
    this.#listing = listing;
    this.#bundle = bundle;
  }

  /** The files that count. */
  get names(): readonly string[] {
    return this.#listing.names;
  }

  /**
   * Hashes the files; `used` are those that the model was made of. Throws `bad-model` for a file that changed or that
   * the signature leaves out, `digest-mismatch` naming one that is not as signed, `bad-signature` for a wrong signature.
   */
  async seal(
    used: readonly string[],
    { signer, publisherKey, origin }: SourceOptions,
    onProgress?: (doneBytes: number, totalBytes: number) => void,
  ): Promise<ModelSource> {
    const listed = new Set(this.#listing.names);
    const unlisted = used.map((name) => posix.normalize(name)).find((name) => !listed.has(name));
    if (unlisted !== undefined) throw new ChorusError('bad-model', `${OMS_FILE} leaves out ${unlisted}`);
    const hashed = await hashSourceFiles(this.#listing, onProgress);
    if (this.#bundle !== null) return { ...(await checkSigned(this.#bundle, hashed, signer, publisherKey)), origin };
    if (publisherKey !== undefined) throw new ChorusError('bad-signature', `the folder has no ${OMS_FILE}`);
    const files = sortSourceFiles(hashed);
    const signature = signer && {
      bundle: await signFiles(this.#listing, files, IGNORED_PATHS, signer),
      publicKey: publicKeyPem(signer.publicKey),
    };
    return { root: omsRoot(files), files, signature, origin };
  }
}

/** Lists a folder, and reads its `model.sig` if there is one. Throws as parseOmsBundle and listSourceFiles do. */
export async function openSource(folder: string): Promise<OpenSource> {
  const bytes = await readInsideIfThere(folder, OMS_FILE, MAX_OMS_BYTES);
  const bundle = bytes && parseOmsBundle(bytes);
  const ignored = bundle === null ? IGNORED_PATHS : ignoredBy(bundle);
  return new OpenSource(await listSourceFiles(folder, ignored), bundle);
}

/** As `openSource`, of one file alone: a signature over its folder does not count. */
export async function openSourceFile(folder: string, name: string): Promise<OpenSource> {
  return new OpenSource(await listSourceFile(folder, name), null);
}

/** Paths that do not count for this signature: those it names, itself, and git's files unless it lists them. */
export function ignoredBy(bundle: OmsBundle, signatureFile = OMS_FILE): string[] {
  const { files, ignoredPaths } = readOmsContent(bundle);
  const unlisted = GIT_PATHS.filter((path) => !files.some(({ name }) => isIgnoredPath(name, [path])));
  return [...new Set([...ignoredPaths, ...unlisted, signatureFile])];
}

/** A folder's signature, whose file is among `ignoredPaths`. */
export async function signFiles(
  { folder, hasLinks }: SourceListing,
  files: readonly SourceFile[],
  ignoredPaths: readonly string[],
  signer: Identity,
): Promise<OmsBundle> {
  return signOms(signer, omsStatement(files, { modelName: basename(folder), ignoredPaths, hasLinks }).statement);
}

async function checkSigned(
  bundle: OmsBundle,
  hashed: ModelSource['files'],
  operator: Identity | null,
  publisherKey: string | undefined,
): Promise<Omit<ModelSource, 'origin'>> {
  const { root, files } = readOmsContent(bundle);
  compareSourceFiles(files, hashed);
  const key = publisherKey ?? (operator && keyIfHinted(bundle, publicKeyPem(operator.publicKey)));
  return { root, files: [...files], signature: { bundle, publicKey: key && (await verifyByPem(bundle, key)) } };
}

/** The key, if the bundle hints at it. */
export function keyIfHinted(bundle: OmsBundle, pem: string): string | null {
  return bundle.verificationMaterial.publicKey?.hint === publicKeyHint(pem) ? pem : null;
}

/**
 * Checks a bundle's signature with a public key of any kind that signers use: Ed25519, or P-256, P-384 and P-521 with
 * their hashes. Answers that key as PEM, the public half of it in any case. Throws `bad-signature`, `unsupported` for
 * another kind of key, `bad-message` for what is no key.
 */
export async function verifyByPem(bundle: OmsBundle, pem: string): Promise<string> {
  const key = parseKey(pem);
  await verifyOmsSignature(bundle, async (signed, signature) => verify(hashOf(key), signed, key, signature));
  return key.export({ type: 'spki', format: 'pem' }) as string;
}

function parseKey(pem: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch {
    throw new ChorusError('bad-message', 'the publisher’s key is no public key in PEM');
  }
}

function hashOf(key: KeyObject): string | null {
  if (key.asymmetricKeyType === 'ed25519') return null;
  const curves = { prime256v1: 'sha256', secp384r1: 'sha384', secp521r1: 'sha512' } as const;
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  const hash = Object.hasOwn(curves, curve) ? curves[curve as keyof typeof curves] : undefined;
  if (hash === undefined)
    throw new ChorusError('unsupported', `signatures by ${key.asymmetricKeyType} keys are not read`);
  return hash;
}
