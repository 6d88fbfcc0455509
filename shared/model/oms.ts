import { sha256 } from '@noble/hashes/sha2.js';
import { z } from 'zod';
import { fromBase64, fromHex, toHex, utf8 } from '../bytes.ts';
import { preAuthEncoding, signEnvelope } from '../crypto/dsse.ts';
import { STATEMENT_PAYLOAD_TYPE, STATEMENT_TYPE } from '../crypto/envelope.ts';
import type { Identity } from '../crypto/identity.ts';
import { publicKeyHint, publicKeyPem } from '../crypto/public-key-pem.ts';
import { parseStrictJson } from '../crypto/strict-json.ts';
import { ChorusError, toChorusError } from '../errors.ts';
import { firstFault, formWords } from '../form-words.ts';
import { digestSchema, type Digest } from '../ids.ts';

/**
 * OpenSSF Model Signing v1.0: a model folder's files with their digests, as an in-toto Statement in a DSSE envelope in a
 * Sigstore bundle, which lies in the folder as `model.sig`.
 */
export const OMS_FILE = 'model.sig';
/** One `model.sig`. */
export const MAX_OMS_BYTES = 2 * 1024 * 1024;
export const MAX_SOURCE_FILES = 1000;
const MAX_NAME_LENGTH = 400;

const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const PREDICATE_TYPE = 'https://model_signing/signature/v1.0';

/** A file of a model folder: its path from there, with `/` between its parts, and the SHA-256 of its bytes. */
export const sourceFileSchema = z.strictObject({
  name: z.string().max(MAX_NAME_LENGTH).refine(isInsideName, { message: 'not a path inside the folder' }),
  sha256: digestSchema,
});
export type SourceFile = z.infer<typeof sourceFileSchema>;

/** Fields of a bundle that are not named here (certificates, entries of a log) stay as they are. */
export const omsBundleSchema = z.looseObject({
  mediaType: z.literal(BUNDLE_TYPE),
  verificationMaterial: z.looseObject({
    /** A hint at the key; nothing in the bundle says whose key it is. */
    publicKey: z.looseObject({ hint: z.string().max(200).optional() }).optional(),
  }),
  dsseEnvelope: z.strictObject({
    payloadType: z.literal(STATEMENT_PAYLOAD_TYPE),
    payload: z.string().max(MAX_OMS_BYTES),
    signatures: z.array(z.strictObject({ sig: z.string().max(8192), keyid: z.string().max(200).optional() })).length(1),
  }),
});
export type OmsBundle = z.infer<typeof omsBundleSchema>;

const statementSchema = z.object({
  _type: z.literal(STATEMENT_TYPE),
  subject: z
    .array(z.object({ name: z.string().max(MAX_NAME_LENGTH).optional(), digest: z.object({ sha256: digestSchema }) }))
    .length(1),
  predicateType: z.literal(PREDICATE_TYPE),
  predicate: z.object({
    serialization: z.object({
      method: z.string().max(100),
      hash_type: z.string().max(100),
      allow_symlinks: z.boolean(),
      ignore_paths: z.array(z.string().max(4096)).max(MAX_SOURCE_FILES).optional(),
    }),
    resources: z
      .array(z.object({ name: z.string().max(4096), algorithm: z.string().max(100), digest: z.string().max(200) }))
      .min(1)
      .max(MAX_SOURCE_FILES),
  }),
});
export type OmsStatement = z.infer<typeof statementSchema>;

/** The statement of a bundle about a folder. */
export interface OmsContent {
  readonly root: Digest;
  /** In the order in which the root is made of them. */
  readonly files: readonly SourceFile[];
  /** Paths of files and folders that are left out. */
  readonly ignoredPaths: readonly string[];
}

export interface OmsOptions {
  /** The folder's name. It tells people what was signed; nothing depends on it. */
  readonly modelName: string;
  readonly ignoredPaths: readonly string[];
  /** Whether some of the files are links. */
  readonly hasLinks: boolean;
}

/** SHA-256 over the files' digests, one after the other, in their order here. */
export function omsRoot(files: readonly SourceFile[]): Digest {
  const hash = sha256.create();
  for (const file of files) hash.update(fromHex(file.sha256));
  return toHex(hash.digest()) as Digest;
}

/**
 * The files in the order in which signers list them: by the parts of their paths, each by code points. So `a/x` comes
 * before `a-b/x`, unlike in the order of the texts.
 */
export function sortSourceFiles(files: readonly SourceFile[]): SourceFile[] {
  const keyed = files.map((file) => ({ file, parts: file.name.split('/').map((part) => [...part]) }));
  return keyed
    .sort((a, b) => compareLists(a.parts, b.parts, (left, right) => compareLists(left, right, comparePoints)))
    .map(({ file }) => file);
}

/** The statement over these files, and its root digest. Throws `bad-message` for a name that is there twice. */
export function omsStatement(
  files: readonly SourceFile[],
  options: OmsOptions,
): { root: Digest; statement: OmsStatement } {
  const sorted = sortSourceFiles(files);
  refuseDoubles(sorted);
  const root = omsRoot(sorted);
  const statement: OmsStatement = {
    _type: STATEMENT_TYPE,
    subject: [{ name: options.modelName, digest: { sha256: root } }],
    predicateType: PREDICATE_TYPE,
    predicate: {
      serialization: {
        method: 'files',
        hash_type: 'sha256',
        allow_symlinks: options.hasLinks,
        ignore_paths: [...options.ignoredPaths],
      },
      resources: sorted.map(({ name, sha256: digest }) => ({ name, algorithm: 'sha256', digest })),
    },
  };
  return { root, statement };
}

/** Signs a statement; the bundle hints at the key by the SHA-256 of its PEM. */
export async function signOms(identity: Identity, statement: OmsStatement): Promise<OmsBundle> {
  const hint = publicKeyHint(publicKeyPem(identity.publicKey));
  const { payload, signatures } = await signEnvelope(identity, STATEMENT_PAYLOAD_TYPE, utf8(JSON.stringify(statement)));
  return {
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    dsseEnvelope: { payload, payloadType: STATEMENT_PAYLOAD_TYPE, signatures },
  };
}

/** The bundle in the bytes of a `model.sig`, its signature unchecked. Throws `too-large` or `bad-message`. */
export function parseOmsBundle(bytes: Uint8Array): OmsBundle {
  if (bytes.length > MAX_OMS_BYTES)
    throw new ChorusError('too-large', `${OMS_FILE} is larger than ${MAX_OMS_BYTES} bytes`);
  const bundle = omsBundleSchema.safeParse(parseJson(bytes, OMS_FILE), { error: formWords });
  if (bundle.success) return bundle.data;
  throw new ChorusError('bad-message', `${OMS_FILE} is no bundle that is understood: ${fault(bundle.error)}`);
}

/**
 * Checks the signature with a function that knows the key and gets the signed bytes and the signature. Throws
 * `bad-signature`, or `bad-message` for what is not base64.
 */
export async function verifyOmsSignature(
  { dsseEnvelope: { payload, signatures } }: OmsBundle,
  verify: (signed: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>) => Promise<boolean>,
): Promise<void> {
  const signed = preAuthEncoding(STATEMENT_PAYLOAD_TYPE, decodeBase64(payload));
  if (await verify(signed, decodeBase64(signatures[0]!.sig))) return;
  throw new ChorusError('bad-signature', `${OMS_FILE} is not signed by this key`);
}

/**
 * The statement in a bundle, whoever signed it. Throws `bad-message` for one that is malformed or whose root is not
 * that of its files, `unsupported` for one that lists anything but whole files by their SHA-256.
 */
export function readOmsContent(bundle: OmsBundle): OmsContent {
  const what = `the statement in ${OMS_FILE}`;
  const parsed = statementSchema.safeParse(parseJson(decodeBase64(bundle.dsseEnvelope.payload), what), {
    error: formWords,
  });
  if (!parsed.success) throw new ChorusError('bad-message', `${what} is malformed: ${fault(parsed.error)}`);
  const { subject, predicate } = parsed.data;
  const { method, hash_type: hashType, ignore_paths: ignoredPaths = [] } = predicate.serialization;
  const isWholeFiles = method === 'files' && hashType === 'sha256';
  if (!isWholeFiles || predicate.resources.some(({ algorithm }) => algorithm !== 'sha256'))
    throw new ChorusError('unsupported', `${what} lists ${method} by ${hashType}; only files by sha256 can be checked`);
  const files = z.array(sourceFileSchema).safeParse(
    predicate.resources.map(({ name, digest }) => ({ name, sha256: digest })),
    { error: formWords },
  );
  if (!files.success) throw new ChorusError('bad-message', `${what} lists a file wrongly: ${fault(files.error)}`);
  refuseDoubles(files.data);
  const root = omsRoot(files.data);
  if (root !== subject[0]!.digest.sha256)
    throw new ChorusError('bad-message', `${what} has a root digest that is not that of its files`);
  return { root, files: files.data, ignoredPaths };
}

/** Throws `digest-mismatch` naming the first file that was signed and is missing or another, or is there unsigned. */
export function compareSourceFiles(signed: readonly SourceFile[], found: readonly SourceFile[]): void {
  const foundDigests = new Map(found.map((file) => [file.name, file.sha256]));
  for (const { name, sha256: digest } of signed) {
    const present = foundDigests.get(name);
    if (present === undefined) throw new ChorusError('digest-mismatch', `${OMS_FILE} lists ${name}, which is missing`);
    if (present !== digest) throw new ChorusError('digest-mismatch', `${name} is not the file that ${OMS_FILE} lists`);
    foundDigests.delete(name);
  }
  const [unsigned] = foundDigests.keys();
  if (unsigned !== undefined) throw new ChorusError('digest-mismatch', `${OMS_FILE} does not list ${unsigned}`);
}

/** Whether a path is one of these, or lies in one of them. */
export function isIgnoredPath(name: string, ignoredPaths: readonly string[]): boolean {
  return ignoredPaths.some((ignored) => {
    const path = ignored.replace(/\/+$/, '');
    return name === path || name.startsWith(`${path}/`);
  });
}

function isInsideName(name: string): boolean {
  const isPrintable = [...name].every((point) => point >= ' ' && point !== '\\' && point !== '\u007f');
  return isPrintable && name.split('/').every((part) => !['', '.', '..'].includes(part));
}

function refuseDoubles(files: readonly SourceFile[]): void {
  const seen = new Set<string>();
  for (const { name } of files) {
    if (seen.has(name)) throw new ChorusError('bad-message', `the file ${name} is listed twice`);
    seen.add(name);
  }
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (thrown) {
    throw new ChorusError('bad-message', `${what} cannot be read: ${toChorusError(thrown).message}`);
  }
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(text);
  } catch {
    throw new ChorusError('bad-message', `${OMS_FILE} holds what is not base64`);
  }
}

function fault(error: z.ZodError): string {
  return firstFault(error, 'the whole of it').slice(0, 200);
}

function compareLists<T>(a: readonly T[], b: readonly T[], compare: (left: T, right: T) => number): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compare(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function comparePoints(a: string, b: string): number {
  return a.codePointAt(0)! - b.codePointAt(0)!;
}
