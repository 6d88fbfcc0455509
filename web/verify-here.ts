import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { verifyReceipt, type Verification, type VerifyReceipt } from '#shared/receipt/verify-receipt.ts';

export type VerifyRequest = Omit<VerifyReceipt, 'verify' | 'calibrations'>;
export type VerifyHere = (request: VerifyRequest) => Promise<Verification>;

/**
 * Verifies a receipt in this page: what `chorus verify` runs, without any network. Programs that write a text to a file
 * often end it with a line feed that was not part of it, so an answer may have one more.
 */
export const verifyHere: VerifyHere = async (request) => {
  const verification = await verifyReceipt({ ...request, verify });
  const hasFailed = verification.checks.some(({ name, status }) => name === 'answer' && status === 'failed');
  if (!hasFailed || !request.answer?.endsWith('\n')) return verification;
  const again = await verifyReceipt({ ...request, answer: request.answer.slice(0, -1), verify });
  return again.checks.some(({ name, status }) => name === 'answer' && status === 'passed') ? again : verification;
};
