import { writeFile } from 'node:fs/promises';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { buildReceipt, signReceipt } from '#shared/receipt/build-receipt.ts';
import type { Evidence } from '#shared/receipt/evidence.ts';
import { formatReceiptSecrets } from '#shared/receipt/receipt-secrets.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify-receipt.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import type { ServerApi } from '../node-peer/server-api.ts';
import { systemRandom as random } from '../system-clock.ts';

/** An answer, and what is in hand of how it was made. */
export interface AskedAnswer {
  readonly evidence: Evidence | null;
  readonly manifest: Manifest;
  readonly manifestDigest: Digest;
  readonly text: ModelText;
  readonly renderedPrompt: string;
  readonly answer: string;
  readonly identity: Identity;
  readonly serverKey: Uint8Array<ArrayBuffer>;
}

/** Where to write the receipt, and what its owner keeps to show what is hashed in it. */
export interface ReceiptPaths {
  readonly receipt?: string;
  readonly secrets?: string;
}

/**
 * Makes the receipt of an answer, has the server log it, and writes what was asked for. Answers what there is to say. A
 * receipt that is not logged is written all the same; rejects where one was to be written and there is none.
 */
export async function keepReceipt(
  asked: AskedAnswer,
  paths: ReceiptPaths,
  api: Pick<ServerApi, 'postReceipt'>,
  signal: AbortSignal,
): Promise<string[]> {
  const made = await make(asked).catch((error: unknown) => toChorusError(error));
  if (made instanceof ChorusError) {
    if (paths.receipt !== undefined || paths.secrets !== undefined) throw made;
    return [`no receipt: ${made.message}`];
  }
  const { evidence, file } = made;
  const { logged, line } = await log(file, asked.answer, api, signal);
  const { salt, tokens } = evidence;
  const secrets = formatReceiptSecrets({ salt, prompt: asked.renderedPrompt, tokens });
  if (paths.receipt !== undefined) await write(paths.receipt, `${JSON.stringify(logged, null, 2)}\n`, 0o666);
  if (paths.secrets !== undefined) await write(paths.secrets, `${secrets}\n`, 0o600);
  return [line];
}

async function make(asked: AskedAnswer): Promise<{ evidence: Evidence; file: ReceiptFile }> {
  const { evidence, identity } = asked;
  if (evidence === null) throw new ChorusError('check-failed', 'not every part of this answer has a verdict');
  const statement = await buildReceipt({ ...asked, evidence, requester: { kind: 'cli', identity }, random, verify });
  return { evidence, file: await signReceipt(statement, identity) };
}

/** The receipt as the server gave it back, if it holds, else as it was. */
async function log(
  file: ReceiptFile,
  answer: string,
  { postReceipt }: Pick<ServerApi, 'postReceipt'>,
  signal: AbortSignal,
): Promise<{ logged: ReceiptFile; line: string }> {
  const { id } = await verifyReceipt({ receipt: file, verify });
  try {
    const logged = await postReceipt(file.envelope, signal);
    const found = await verifyReceipt({ receipt: logged, verify, answer });
    if (found.id !== id || !found.isValid || !found.summary?.log) {
      throw new ChorusError('bad-message', 'the server gave no proof for it that holds');
    }
    const { index, origin } = found.summary.log;
    return { logged, line: `receipt ${id}, entry ${index} of ${origin}` };
  } catch (thrown) {
    return { logged: file, line: `receipt ${id}, in no log: ${toChorusError(thrown).message}` };
  }
}

async function write(path: string, text: string, mode: number): Promise<void> {
  await writeFile(path, text, { mode }).catch((error: unknown) => {
    throw new ChorusError('internal', `${path} cannot be written: ${toChorusError(error).message}`);
  });
}
