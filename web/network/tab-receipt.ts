import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { toChorusError } from '#shared/errors.ts';
import { makeReceipt, takeProof, type EndedAnswer, type ReceiptMaker } from '#shared/receipt/build/make-receipt.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import type { MadeReceipt, ReceiptOutcome } from '../state/conversation/chat.ts';

export interface TabReceiptDeps extends Omit<ReceiptMaker, 'requester'> {
  readonly identity: Identity;
  readonly postReceipt: (envelope: Envelope, signal: AbortSignal) => Promise<ReceiptFile>;
  /** Holds a proof's checkpoint to what was seen of the log. Never rejects. */
  readonly holdProof: (proof: string) => Promise<void>;
}

/** Makes and signs the receipt of an answer. Never rejects: without a receipt the outcome says why. */
export async function signTabReceipt(
  answer: EndedAnswer,
  { identity, postReceipt: _post, holdProof: _hold, ...maker }: TabReceiptDeps,
): Promise<ReceiptOutcome> {
  try {
    const signed = await makeReceipt(answer, { ...maker, requester: { kind: 'tab', identity } });
    return { receipt: { ...signed, manifest: maker.manifestDigest }, error: null };
  } catch (thrown) {
    return { receipt: null, error: toChorusError(thrown) };
  }
}

/** Has a signed receipt logged. Never rejects: without a proof the outcome says why. */
export async function logTabReceipt(
  receipt: MadeReceipt,
  { postReceipt, holdProof, verify }: Pick<TabReceiptDeps, 'postReceipt' | 'holdProof' | 'verify'>,
  signal: AbortSignal,
): Promise<ReceiptOutcome> {
  try {
    const { file } = await takeProof(receipt, await postReceipt(receipt.file.envelope, signal), verify);
    void holdProof(file.proof);
    return { receipt: { ...receipt, file }, error: null };
  } catch (thrown) {
    return { receipt, error: toChorusError(thrown, 'server-lost') };
  }
}
