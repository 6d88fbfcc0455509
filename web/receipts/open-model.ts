import { openEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import { digestOf, type VerifySignature } from '#shared/crypto/identity.ts';
import { publicKeyHint, rawPublicKey } from '#shared/crypto/public-key-pem.ts';
import { parseStrictJson } from '#shared/crypto/strict-json.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { manifestSchema, type BlobRef, type Manifest, MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { checkModelSource } from '#shared/model/model-source.ts';
import { manifestBytes } from './manifest-bytes.ts';

/** Longer cards are not shown, only given as a file. */
const MAX_CARD_BYTES = 256 * 1024;

/** The signer of the list of a model's files, as far as it can be found. */
export interface FoundSigner {
  /** `operator`: the key that signed the manifest too; `publisher`: one the operator was given as the publisher's. */
  readonly who: 'operator' | 'publisher' | 'unknown' | 'nobody';
  /** True if the signature was found good here. */
  readonly isChecked: boolean;
  /** SHA-256 of the key's PEM; null where no key is known. */
  readonly keyHint: string | null;
}

/** A model as its manifest has it. */
export interface OpenedModel {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly signer: FoundSigner;
  /** The model card, Markdown without its front matter; null where there is none or it cannot be had. */
  readonly card: string | null;
}

export interface OpenModelDeps {
  readonly fetchManifest: (digest: Digest, signal: AbortSignal) => Promise<Envelope>;
  readonly fetchRange: (
    digest: Digest,
    start: number,
    end: number,
    signal: AbortSignal,
  ) => Promise<Uint8Array<ArrayBuffer>>;
  readonly verify: VerifySignature;
}

/**
 * Fetches the manifest of this digest and the card it names. Throws `digest-mismatch` for another manifest, `bad-manifest`
 * for what is none, as `checkModelSource` for a wrong signature in it, and as `fetchManifest`.
 */
export async function openModel(digest: Digest, deps: OpenModelDeps, signal: AbortSignal): Promise<OpenedModel> {
  const envelope = await deps.fetchManifest(digest, signal);
  const manifest = parseManifest(manifestBytes(envelope, digest));
  const signer = await signerOf(manifest, envelope, deps.verify);
  const card = manifest.card === null ? null : await fetchCard(manifest.card, deps, signal);
  return { digest, manifest, signer, card };
}

function parseManifest(bytes: Uint8Array<ArrayBuffer>): Manifest {
  try {
    return manifestSchema.parse(parseStrictJson(bytes));
  } catch {
    throw new ChorusError('bad-manifest', 'the manifest of this digest is none that this page can read');
  }
}

async function signerOf({ source }: Manifest, envelope: Envelope, verify: VerifySignature): Promise<FoundSigner> {
  const isChecked = (await checkModelSource(source, verify)) === 'signed';
  if (source.signature === null) return { who: 'nobody', isChecked, keyHint: null };
  const { bundle, publicKey } = source.signature;
  if (publicKey === null) {
    return { who: 'unknown', isChecked, keyHint: bundle.verificationMaterial.publicKey?.hint ?? null };
  }
  const key = rawPublicKey(publicKey);
  const isOperator =
    key !== null &&
    (await openEnvelope(envelope, MANIFEST_PAYLOAD_TYPE, key, verify).then(
      () => true,
      () => false,
    ));
  return { who: isOperator ? 'operator' : 'publisher', isChecked, keyHint: publicKeyHint(publicKey) };
}

async function fetchCard(
  { digest, bytes: size }: BlobRef,
  { fetchRange }: OpenModelDeps,
  signal: AbortSignal,
): Promise<string | null> {
  if (size === 0 || size > MAX_CARD_BYTES) return null;
  try {
    const bytes = await fetchRange(digest, 0, size, signal);
    if (digestOf(bytes) !== digest) return null;
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.replace(/^---\r?\n.*?\r?\n---\r?\n/s, '').trim();
  } catch {
    // The manifest is worth as much without its card.
    return null;
  }
}
