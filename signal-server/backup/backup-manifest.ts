import { z } from 'zod';
import { utf8 } from '#shared/bytes.ts';
import { openEnvelope, signEnvelope } from '#shared/crypto/dsse.ts';
import { envelopeSchema, type Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { parseStrictJson, parseStrictText } from '#shared/crypto/strict-json.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { parseForm } from '#shared/form-words.ts';
import { digestSchema } from '#shared/ids.ts';

const PAYLOAD_TYPE = 'application/vnd.chorus.backup+json';
/** Of this file a backup is made last, so that one that was cut off has none. */
export const MANIFEST_FILE = 'backup.json';
const MAX_FILES = 100_000;

/** A path in a data folder that leads out of no folder. */
const path = z
  .string()
  .regex(/^(?!.*(?:^|\/)\.)[\w.-]+(?:\/[\w.-]+)*$/)
  .max(300);

const manifestSchema = z.strictObject({
  format: z.literal('chorus-backup/1'),
  /** Wall-clock time of the server. */
  madeAtMs: z.number().min(0),
  version: z.string().max(100),
  /** Entries of the log. */
  entries: z.int().min(0),
  files: z.array(z.strictObject({ path, bytes: z.int().min(0), sha256: digestSchema })).max(MAX_FILES),
});

/** What a backup is made of, signed by the server whose it is. */
export type BackupManifest = z.infer<typeof manifestSchema>;
export type BackupFile = BackupManifest['files'][number];

export function signManifest(manifest: BackupManifest, identity: Identity): Promise<Envelope> {
  return signEnvelope(identity, PAYLOAD_TYPE, utf8(JSON.stringify(manifest)));
}

/** Reads the text of a signed manifest. Throws `bad-signature` if it is not by this key, and `bad-message` for what is none. */
export async function openManifest(text: string, publicKey: Uint8Array<ArrayBuffer>): Promise<BackupManifest> {
  const envelope = parseForm(envelopeSchema, parseStrictText(text), 'the envelope', 'bad-message');
  const payload = await openEnvelope(envelope, PAYLOAD_TYPE, publicKey, verifySignature);
  const signed = parseStrictJson(payload);
  return parseForm(manifestSchema, signed, 'what was signed', 'bad-message');
}
