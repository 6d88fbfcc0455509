import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { verifyGiven } from '#shared/receipt/verify/verify-given.ts';
import type { Verification, VerifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';

export type VerifyRequest = Omit<VerifyReceipt, 'verify' | 'calibrations'>;
export type VerifyHere = (request: VerifyRequest) => Promise<Verification>;

/** Verifies a receipt in this page: what `chorus verify` runs, without any network. */
export const verifyHere: VerifyHere = async (request) => (await verifyGiven({ ...request, verify })).verification;
