import type { RandomBytes } from '#shared/clock.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity, VerifySignature } from '#shared/crypto/identity.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { buildReceipt, signReceipt } from '#shared/receipt/build/build-receipt.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import { receiptId } from '#shared/receipt/read-receipt.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import type { CheckName } from '#shared/receipt/verify/check.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import type { MadeReceipt, ReceiptOutcome } from '../state/chat.ts';

export interface MakeReceiptDeps {
  readonly identity: Identity;
  /** Raw key of the server that signed the route. */
  readonly serverKey: Uint8Array<ArrayBuffer>;
  readonly manifest: Manifest;
  readonly manifestDigest: Digest;
  readonly text: ModelText;
  readonly random: RandomBytes;
  readonly verify: VerifySignature;
  readonly postReceipt: (envelope: Envelope, signal: AbortSignal) => Promise<ReceiptFile>;
  /** Holds a proof's checkpoint to what was seen of the log. Never rejects. */
  readonly holdProof: (proof: string) => Promise<void>;
}

/** An answer, and what is in hand of how it was made. */
export interface EndedAnswer {
  readonly evidence: Evidence;
  /** What the chat template wrote. */
  readonly prompt: string;
  /** As it was shown. */
  readonly answer: string;
}

/** Makes the receipt of an answer, signs it and has it logged. Never rejects: the outcome says what could not be done. */
export async function makeReceipt(
  { evidence, prompt, answer }: EndedAnswer,
  deps: MakeReceiptDeps,
  signal: AbortSignal,
): Promise<ReceiptOutcome> {
  let receipt: MadeReceipt;
  try {
    const { identity, postReceipt: _post, holdProof: _hold, ...more } = deps;
    const statement = await buildReceipt({
      ...more,
      evidence,
      renderedPrompt: prompt,
      answer,
      requester: { kind: 'tab', identity },
    });
    const file = await signReceipt(statement, identity);
    const { salt, tokens } = evidence;
    receipt = { id: receiptId(file), file, manifest: deps.manifestDigest, secrets: { salt, prompt, tokens } };
  } catch (thrown) {
    return { receipt: null, error: toChorusError(thrown) };
  }
  try {
    const { proof } = await postLogged(receipt, deps, signal);
    void deps.holdProof(proof);
    return { receipt: { ...receipt, file: { ...receipt.file, proof } }, error: null };
  } catch (thrown) {
    return { receipt, error: toChorusError(thrown, 'server-lost') };
  }
}

const LOGGED = new Set<CheckName>(['log-entry', 'log-inclusion']);

/** What the server gave back, if it is this receipt with a proof that leads to a log's root. */
async function postLogged(
  { id, file }: MadeReceipt,
  { postReceipt, verify }: MakeReceiptDeps,
  signal: AbortSignal,
): Promise<{ readonly proof: string }> {
  const logged = await postReceipt(file.envelope, signal);
  if (receiptId(logged) !== id) throw new ChorusError('digest-mismatch', 'the server gave another receipt back');
  const { proof } = logged;
  if (proof === null) throw new ChorusError('bad-message', 'the server gave no proof that it is in the log');
  const { checks } = await verifyReceipt({ receipt: logged, verify });
  const failed = checks.find(({ name, status }) => LOGGED.has(name) && status !== 'passed');
  if (failed !== undefined) {
    throw new ChorusError('bad-message', `the server's proof does not show that it is in the log: ${failed.detail}`);
  }
  return { proof };
}
