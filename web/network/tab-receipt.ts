import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { toChorusError } from '#shared/errors.ts';
import {
  makeReceipt,
  takeProof,
  type EndedAnswer,
  type ReceiptMaker,
  type SignedReceipt,
} from '#shared/receipt/build/make-receipt.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import type { MadeReceipt, ReceiptOutcome } from '../state/conversation/chat.ts';

export interface TabReceiptDeps extends Omit<ReceiptMaker, 'requester'> {
  readonly identity: Identity;
  readonly postReceipt: (envelope: Envelope, signal: AbortSignal) => Promise<ReceiptFile>;
  /** Holds a proof's checkpoint to what was seen of the log. Never rejects. */
  readonly holdProof: (proof: string) => Promise<void>;
}

/** Makes the receipt of an answer and has it logged. Never rejects: the outcome says what could not be done. */
export async function makeTabReceipt(
  answer: EndedAnswer,
  { identity, postReceipt, holdProof, ...maker }: TabReceiptDeps,
  signal: AbortSignal,
): Promise<ReceiptOutcome> {
  let signed: SignedReceipt;
  try {
    signed = await makeReceipt(answer, { ...maker, requester: { kind: 'tab', identity } });
  } catch (thrown) {
    return { receipt: null, error: toChorusError(thrown) };
  }
  const receipt: MadeReceipt = { ...signed, manifest: maker.manifestDigest };
  try {
    const { file } = await takeProof(signed, await postReceipt(signed.file.envelope, signal), maker.verify);
    void holdProof(file.proof);
    return { receipt: { ...receipt, file }, error: null };
  } catch (thrown) {
    return { receipt, error: toChorusError(thrown, 'server-lost') };
  }
}
