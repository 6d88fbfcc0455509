import { writeFile } from 'node:fs/promises';
import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { parseTlogProof } from '#shared/log/tlog-proof.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { ServerApi } from '#shared/peer/server/server-api.ts';
import { makeReceipt, takeProof, type SignedReceipt } from '#shared/receipt/build/make-receipt.ts';
import { PreviousReceipts } from '#shared/receipt/build/previous-receipts.ts';
import { formatReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { printable } from '#shared/receipt/verify/printable.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import type { Prompt } from '#shared/text/prompt.ts';
import { systemRandom as random } from '../../machine/system-clock.ts';
import { describeHistory, type LogHistory } from '../log/hold-log.ts';
import { explainFileError } from '../terminal/explain-error.ts';

/** An answer, and what is in hand of how it was made. */
export interface AskedAnswer {
  readonly evidence: Evidence | null;
  readonly manifest: Manifest;
  readonly manifestDigest: Digest;
  readonly text: ModelText;
  readonly prompt: Prompt;
  readonly answer: string;
  readonly identity: Identity;
  readonly serverKey: Uint8Array<ArrayBuffer>;
}

/** Files for the receipt, and for the secrets with which its owner can show what is hashed in it. */
export interface ReceiptPaths {
  readonly receipt?: string;
  readonly secrets?: string;
}

/** A receipt that was kept, with lines for people about it. */
export interface KeptReceipt {
  readonly lines: readonly string[];
  /** False where the log that has the receipt is not what it was: nobody should rely on it before that is cleared up. */
  readonly isLogGood: boolean;
}

/** The receipt of an answer, or why none can be made. */
export function makeAskedReceipt({
  identity,
  evidence,
  prompt,
  answer,
  ...maker
}: AskedAnswer): Promise<SignedReceipt | ChorusError> {
  const requester = { kind: 'cli', identity } as const;
  // One question is all that its session answers.
  const previous = new PreviousReceipts();
  return makeReceipt({ evidence, prompt, answer }, { ...maker, requester, random, verify, previous }).catch(
    (error: unknown) => toChorusError(error),
  );
}

/**
 * Has the server log a receipt, writes what was asked for, and holds the log to what `holdNewHead` remembers of it. A
 * receipt that is not logged is written all the same; rejects where one was to be written and there is none.
 */
export async function keepReceipt(
  made: SignedReceipt | ChorusError,
  paths: ReceiptPaths,
  api: Pick<ServerApi, 'postReceipt'>,
  holdNewHead: ((note: string) => Promise<LogHistory>) | null,
  signal: AbortSignal,
): Promise<KeptReceipt> {
  if (made instanceof ChorusError) {
    if (paths.receipt !== undefined || paths.secrets !== undefined) throw made;
    return { lines: [`no receipt: ${made.message}`], isLogGood: true };
  }
  const { logged, line } = await log(made, api, signal);
  if (paths.receipt !== undefined) await write(paths.receipt, `${JSON.stringify(logged, null, 2)}\n`, 0o666);
  if (paths.secrets !== undefined) await write(paths.secrets, `${formatReceiptSecrets(made.secrets)}\n`, 0o600);
  if (logged.proof === null || holdNewHead === null) return { lines: [line], isLogGood: true };
  const history = await holdNewHead(parseTlogProof(logged.proof).checkpoint);
  return { lines: [line, ...linesOf(history)], isLogGood: history.check.status !== 'failed' };
}

/** Lines about a log that is not what it was; none where it is. */
function linesOf(history: LogHistory): string[] {
  const { check, kind } = history;
  if (check.status === 'passed' || kind === 'first-seen') return [];
  return [`log: ${printable(check.detail)}`, ...describeHistory(history)];
}

/** The receipt with the server's proof, where that holds, else as it was made. */
async function log(
  signed: SignedReceipt,
  { postReceipt }: Pick<ServerApi, 'postReceipt'>,
  signal: AbortSignal,
): Promise<{ logged: ReceiptFile; line: string }> {
  const { id, file } = signed;
  try {
    const { file: logged, place } = await takeProof(signed, await postReceipt(file.envelope, signal), verify);
    return { logged, line: `receipt ${id}, entry ${place.index} of ${place.origin}` };
  } catch (thrown) {
    return { logged: file, line: `receipt ${id}, in no log: ${toChorusError(thrown).message}` };
  }
}

async function write(path: string, text: string, mode: number): Promise<void> {
  await writeFile(path, text, { mode }).catch((error: unknown) => {
    const reason = explainFileError(error) ?? toChorusError(error).message;
    throw new ChorusError('internal', `${path} cannot be written: ${reason}`);
  });
}
