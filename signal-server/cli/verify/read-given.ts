import { readFile } from 'node:fs/promises';
import { envelopeSchema } from '#shared/crypto/envelope.ts';
import { canonicalBase64 } from '#shared/crypto/strict-envelope.ts';
import { parseStrictText } from '#shared/crypto/strict-json.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { policyText } from '#shared/log/policy.ts';
import { parseReceiptSecrets, parseSalt } from '#shared/receipt/build/receipt-secrets.ts';
import { parseReceiptFile, parseStatement } from '#shared/receipt/read-receipt.ts';
import { withoutMark } from '#shared/receipt/verify/verify-given.ts';
import type { VerifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { explainFileError } from '../terminal/explain-error.ts';
import { readManifestBytes } from './replay-receipt.ts';

/** Files and values that a receipt is verified with, as they were given. */
export interface GivenFiles {
  readonly answer?: string;
  readonly prompt?: string;
  readonly salt?: string;
  readonly secrets?: string;
  readonly policy?: string;
  readonly manifest?: string;
  readonly replay?: true;
  readonly data: string;
}

/** Reads what a receipt is verified with. Throws `bad-message` for a file that cannot be read. */
export async function readRequest(path: string, options: GivenFiles): Promise<VerifyReceipt> {
  const read = async (file: string | undefined) => (file === undefined ? undefined : await readText(file));
  const [answer, prompt] = await Promise.all([options.answer, options.prompt].map(read));
  const policy = options.policy === undefined ? undefined : policyText(await readBytes(options.policy));
  const secrets =
    options.secrets === undefined
      ? null
      : parseReceiptSecrets(parseJson(await readText(options.secrets), options.secrets));
  const salt = options.salt === undefined ? secrets?.salt : parseSalt(options.salt);
  const asked = prompt ?? secrets?.prompt ?? undefined;
  // As its text: the checks say what is wrong with it.
  const receipt = withoutMark(await readText(path));
  const manifest = await readManifest(receipt, options);
  return {
    receipt,
    verify,
    ...(answer !== undefined && { answer }),
    ...(policy !== undefined && { policy: withoutMark(policy) }),
    ...(manifest !== undefined && { manifest }),
    ...(asked !== undefined && { prompt: asked }),
    ...(salt !== undefined && { salt }),
    ...(secrets !== null && { tokens: secrets.tokens }),
    ...(secrets?.pieces && prompt === undefined && { pieces: secrets.pieces }),
  };
}

/** The manifest that was given; where the answer is computed again, that of the data folder, if it is there. */
async function readManifest(receipt: unknown, { manifest, replay, data }: GivenFiles) {
  if (manifest !== undefined) {
    const bytes = await readBytes(manifest);
    const envelope = envelopeSchema.safeParse(jsonOrNull(new TextDecoder().decode(bytes)));
    return envelope.success ? canonicalBase64(envelope.data.payload) : bytes;
  }
  if (!replay) return undefined;
  try {
    const { model } = parseStatement(parseReceiptFile(receipt)).predicate;
    return await readManifestBytes(data, model.manifest.sha256 as Digest);
  } catch {
    // The checks say what is wrong with the receipt, and the replay what is with the folder.
    return undefined;
  }
}

/** Refuses bytes that are no UTF-8: read all the same, they would be another text. */
async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): ChorusError {
  const isNoText = error instanceof TypeError;
  const reason = isNoText ? 'it is no text in UTF-8' : (explainFileError(error) ?? toChorusError(error).message);
  return new ChorusError('bad-message', `${path} cannot be read: ${reason}`);
}

/** The value of a JSON text that means the same to everybody. Throws `bad-message`. */
function parseJson(text: string, path: string): unknown {
  try {
    return parseStrictText(withoutMark(text));
  } catch (error) {
    throw new ChorusError('bad-message', `${path} cannot be read: ${toChorusError(error).message}`);
  }
}

function jsonOrNull(text: string): unknown {
  try {
    return parseStrictText(text);
  } catch {
    return null;
  }
}
