import { buildReceipt, signReceipt } from '#shared/receipt/build/build-receipt.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import type { ReceiptPredicate } from '#shared/receipt/receipt.ts';
import { verifyReceipt, type Verification } from '#shared/receipt/verify/verify-receipt.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { toyDigest, toyManifest } from './toy-model.ts';
import { serverIdentity, toyIdentity, toyVerify } from './toy-network.ts';
import { toyText } from './toy-text.ts';

/** The evidence that an answer ended with, which must be there. */
export function evidenceOf(events: readonly AnswerEvent[]): Evidence {
  const end = events.at(-1);
  if (end?.type !== 'end' || end.evidence === null) throw new Error('the answer ended without evidence');
  return end.evidence;
}

/** Makes a receipt of it in the name of the toy network's requester, and verifies that with all there is to know. */
export async function receiptOf(
  evidence: Evidence,
): Promise<{ readonly predicate: ReceiptPredicate; readonly verification: Verification }> {
  const { tokens, promptTokens, salt } = evidence;
  const prompt = toyText.decode(tokens.slice(0, promptTokens));
  const answer = toyText.decode(tokens.slice(promptTokens));
  const identity = toyIdentity('requester');
  const statement = await buildReceipt({
    evidence,
    manifest: toyManifest,
    manifestDigest: toyDigest,
    text: toyText,
    prompt: toyText.textPrompt(prompt),
    answer,
    requester: { kind: 'tab', identity },
    serverKey: serverIdentity.publicKey,
    random: (count) => new Uint8Array(count).fill(3),
    previous: null,
    verify: toyVerify,
  });
  const receipt = await signReceipt(statement, identity);
  const verification = await verifyReceipt({
    receipt,
    answer,
    prompt,
    pieces: toyText.textPrompt(prompt),
    salt,
    tokens,
    verify: toyVerify,
  });
  return { predicate: statement.predicate, verification };
}

/** The names of the checks that failed, with why. */
export function failedChecks({ checks }: Verification): string[] {
  return checks.filter(({ status }) => status === 'failed').map(({ name, detail }) => `${name}: ${detail}`);
}
