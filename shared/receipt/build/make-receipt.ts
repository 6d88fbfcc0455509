import type { VerifySignature } from '../../crypto/identity.ts';
import { ChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { textOf } from '../../text/prompt.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { receiptId } from '../read-receipt.ts';
import type { ReceiptFile, ReceiptPredicate } from '../receipt.ts';
import type { CheckName } from '../verify/check.ts';
import type { ReceiptSummary } from '../verify/receipt-summary.ts';
import { verifyReceipt } from '../verify/verify-receipt.ts';
import { buildReceipt, signReceipt, type ReceiptParts } from './build-receipt.ts';
import type { PreviousReceipts } from './previous-receipts.ts';
import type { ReceiptSecrets } from './receipt-secrets.ts';

/** A whole answer as it was given out, and what is in hand of how it was made. */
export interface EndedAnswer extends Pick<ReceiptParts, 'prompt' | 'answer' | 'stop'> {
  /** Null where not every part has a verdict. */
  readonly evidence: Evidence | null;
}

/** The parts that are the same for all receipts of one requester and one model. */
export interface ReceiptMaker extends Omit<ReceiptParts, keyof EndedAnswer | 'previous'> {
  /** What was made of the sessions of this requester before. */
  readonly previous: PreviousReceipts;
}

/**
 * The checks of an answer as its receipt has them: no better than those who signed bear out. Whoever shows the answer shows
 * these, so that nobody is told two tiers of one answer.
 */
export type ReceiptVerdict = ReceiptPredicate['verdict'] & Pick<ReceiptPredicate, 'spans'>;

/** A receipt that was made here and signed by whoever asked. */
export interface SignedReceipt {
  readonly id: Digest;
  readonly file: ReceiptFile;
  readonly verdict: ReceiptVerdict;
  /** They open what is hashed in it, and are no part of it. */
  readonly secrets: ReceiptSecrets;
}

/** Makes and signs the receipt of an answer. Rejects as `buildReceipt` does, and with `check-failed` without evidence. */
export async function makeReceipt(
  { evidence, ...answer }: EndedAnswer,
  { requester, previous: made, ...maker }: ReceiptMaker,
): Promise<SignedReceipt> {
  if (evidence === null) throw new ChorusError('check-failed', 'not every chunk of this answer has a verdict');
  return made.next(evidence.route.session, async (previous) => {
    const statement = await buildReceipt({ ...maker, ...answer, evidence, requester, previous });
    const file = await signReceipt(statement, requester.identity);
    const { salt, tokens } = evidence;
    const { spans, verdict } = statement.predicate;
    const { prompt } = answer;
    return {
      id: receiptId(file),
      file,
      verdict: { ...verdict, spans },
      secrets: { salt, prompt: prompt && textOf(prompt), pieces: prompt, tokens },
    };
  });
}

/** A receipt with the proof that it is in a log, and its place there. */
export interface LoggedReceipt {
  readonly file: ReceiptFile & { readonly proof: string };
  readonly place: NonNullable<ReceiptSummary['log']>;
}

const LOGGED: ReadonlySet<CheckName> = new Set(['log-entry', 'log-inclusion']);

/**
 * The receipt with the proof that a server `gave` for it. Nothing else of what it gave is taken. Rejects with
 * `digest-mismatch` for another receipt, with `bad-message` for a proof that does not lead to a log's root.
 */
export async function takeProof(
  { id, file }: Pick<SignedReceipt, 'id' | 'file'>,
  gave: ReceiptFile,
  verify: VerifySignature,
): Promise<LoggedReceipt> {
  if (receiptId(gave) !== id) throw new ChorusError('digest-mismatch', 'the server gave another receipt back');
  const { proof } = gave;
  if (proof === null) throw new ChorusError('bad-message', 'the server gave no proof that it is in the log');
  const logged = { ...file, proof };
  const { checks, summary } = await verifyReceipt({ receipt: logged, verify });
  const failed = checks.find(({ name, status }) => LOGGED.has(name) && status !== 'passed');
  const place = summary?.log ?? null;
  if (failed !== undefined || place === null) {
    const detail = failed?.detail ?? 'it names no place';
    throw new ChorusError('bad-message', `the server's proof does not show that it is in the log: ${detail}`);
  }
  return { file: logged, place };
}
