import { z } from 'zod';
import type { VerifySignature } from '../crypto/identity.ts';
import { rawPublicKey } from '../crypto/public-key-pem.ts';
import { ChorusError } from '../errors.ts';
import { digestSchema } from '../ids.ts';
import {
  compareSourceFiles,
  MAX_SOURCE_FILES,
  omsBundleSchema,
  omsRoot,
  readOmsContent,
  sourceFileSchema,
  verifyOmsSignature,
} from './oms.ts';

/** The address of a page on the web; nothing else may become a link. */
export const webAddressSchema = z
  .string()
  .max(500)
  .regex(/^https?:\/\/[^\s"'<>\\]+$/);

/** False where a digest is none, which is said of that one. */
const areDigests = (files: readonly { readonly sha256: string }[]): boolean =>
  files.every(({ sha256 }) => digestSchema.safeParse(sha256).success);

/** The files of the folder that a model was imported from, and the key that vouches for them. */
export const modelSourceSchema = z
  .strictObject({
    /** The root digest of OpenSSF Model Signing over `files`: the model's name for everyone, whoever serves it. */
    root: digestSchema,
    /** In the order in which the root is made of them. */
    files: z.array(sourceFileSchema).min(1).max(MAX_SOURCE_FILES),
    signature: z
      .strictObject({
        bundle: omsBundleSchema,
        /** The key that it was checked with, as PEM; null where whoever imported the model had none. */
        publicKey: z.string().max(4000).nullable(),
      })
      .nullable(),
    /** The page the folder comes from, as its card or the operator says; no signature of the publisher covers it. */
    origin: webAddressSchema.nullable(),
  })
  .refine(({ files }) => new Set(files.map(({ name }) => name)).size === files.length, {
    message: 'a file is named twice',
  })
  .refine(({ root, files }) => !areDigests(files) || omsRoot(files) === root, {
    message: 'the root is not that of the files',
  });
export type ModelSource = z.infer<typeof modelSourceSchema>;

/**
 * Whether a source's signature covers its files: `signed` if the Ed25519 key beside it made it, `unchecked` where that
 * key is missing or of another kind, `unsigned` where there is none. Throws `bad-message`, `unsupported`, `bad-signature`
 * or `digest-mismatch` for a signature that is wrong.
 */
export async function checkModelSource(
  { root, files, signature }: ModelSource,
  verify: VerifySignature,
): Promise<'signed' | 'unchecked' | 'unsigned'> {
  if (signature === null) return 'unsigned';
  const { bundle, publicKey } = signature;
  const key = publicKey === null ? null : rawPublicKey(publicKey);
  if (key !== null) await verifyOmsSignature(bundle, (signed, bytes) => verify(key, signed, bytes));
  const content = readOmsContent(bundle);
  compareSourceFiles(content.files, files);
  if (content.root !== root) throw new ChorusError('digest-mismatch', 'the files are signed in another order');
  return key === null ? 'unchecked' : 'signed';
}
