import { fromBase64 } from '../../bytes.ts';
import { STATEMENT_PAYLOAD_TYPE } from '../../crypto/envelope.ts';
import { peerIdOf } from '../../crypto/identity.ts';
import { openStrictly } from '../../crypto/strict-envelope.ts';
import type { Digest } from '../../ids.ts';
import { CALIBRATION } from '../../judge/thresholds.ts';
import { parseReceiptFile, parseStatement, receiptId } from '../read-receipt.ts';
import { checkAttestationMatch, checkAttestationSignatures, checkChains } from './check-attestations.ts';
import { checkLogEntry, checkLogInclusion, checkLogSignature, checkTimes, checkWitnesses } from './check-log.ts';
import { checkDraw } from './check-draw.ts';
import { checkModel } from './check-model.ts';
import { checkAnswer, checkAsked, checkPrompt, checkTokens } from './check-request.ts';
import { checkRouteMatch, checkRouteSignature } from './check-route.ts';
import { checkCoverage, checkThresholds } from './check-spans.ts';
import { checkVerdict } from './check-verdict.ts';
import {
  demand,
  type Check,
  type CheckName,
  type CheckReceipt,
  type Found,
  type Holdings,
  type Subject,
} from './check.ts';
import { claimsOf } from './receipt-claims.ts';
import { summarize, type ReceiptSummary } from './receipt-summary.ts';
import { takeApart } from './take-apart.ts';
import { standingOf, type Standing } from './whose-word.ts';

export interface VerifyReceipt extends Omit<Holdings, 'calibrations'> {
  /** A receipt file as JSON has it. */
  readonly receipt: unknown;
  /** Calibrations whose limits are known; the one in use if left out. */
  readonly calibrations?: Holdings['calibrations'];
  /** No check after one that failed: those on signatures come first and are cheap, whatever the receipt says. */
  readonly stopsAtFailure?: boolean;
}

export interface Verification {
  /** True if no check failed. `notProved` names all that was not checked. */
  readonly isValid: boolean;
  /** Null where there is no receipt to speak of. */
  readonly id: Digest | null;
  readonly checks: readonly Check[];
  readonly proved: readonly string[];
  readonly notProved: readonly string[];
  /** Null where the statement cannot be read. */
  readonly summary: ReceiptSummary | null;
  /** Its tier, and on whose word it rests; null where it does not hold. */
  readonly standing: Standing | null;
}

/** In the order in which they are told. */
const CHECKS: readonly (readonly [CheckName, CheckReceipt])[] = [
  ['requester-signature', checkRequesterSignature],
  ['answer', checkAnswer],
  ['prompt', checkPrompt],
  ['tokens', checkTokens],
  ['route-signature', checkRouteSignature],
  ['route-match', checkRouteMatch],
  ['draw', checkDraw],
  ['model', checkModel],
  ['request', checkAsked],
  ['attestation-signatures', checkAttestationSignatures],
  ['attestation-match', checkAttestationMatch],
  ['chains', checkChains],
  ['coverage', checkCoverage],
  ['verdict', checkVerdict],
  ['thresholds', checkThresholds],
  ['times', checkTimes],
  ['log-entry', checkLogEntry],
  ['log-inclusion', checkLogInclusion],
  ['log-signature', checkLogSignature],
  ['witnesses', checkWitnesses],
];

/**
 * Verifies a receipt with nothing but what is given: no network, no clock. Every fault fails the check that is named
 * for it; nothing is thrown for a bad receipt, answer or policy.
 */
export async function verifyReceipt({
  receipt,
  calibrations = [CALIBRATION],
  stopsAtFailure = false,
  ...more
}: VerifyReceipt): Promise<Verification> {
  const holdings = { ...more, calibrations };
  const [format, file] = read('format', 'a receipt in an envelope', () => parseReceiptFile(receipt));
  const [form, statement] = read(
    'statement',
    'an in-toto Statement about an answer',
    () => file && parseStatement(file),
  );
  const checks = [format, form];
  const subject = file === null || statement === null ? null : takeApart(file, statement, holdings);
  for (const [name, check] of CHECKS) {
    const isOver = stopsAtFailure && checks.some(({ status }) => status === 'failed');
    const instead = subject === null ? 'the receipt cannot be read' : isOver ? 'another check has failed' : null;
    checks.push(await run(name, () => (instead === null ? check(subject!) : { notChecked: instead })));
  }
  const claims =
    subject === null ? { proved: [], notProved: ['Anything: this is no receipt.'] } : claimsOf(subject, checks);
  return {
    isValid: checks.every(({ status }) => status !== 'failed'),
    id: file === null ? null : receiptId(file),
    checks,
    ...claims,
    summary: subject === null ? null : await summarize(subject),
    standing: subject === null ? null : standingOf(subject, checks),
  };
}

/** A check whose result the others need; null where it failed. */
function read<Value>(name: CheckName, detail: string, parse: () => Value | null): [Check, Value | null] {
  try {
    const value = parse();
    if (value !== null) return [{ name, status: 'passed', detail }, value];
    return [{ name, status: 'not-checked', detail: 'there is no receipt' }, null];
  } catch (error) {
    return [failed(name, error), null];
  }
}

async function run(name: CheckName, check: () => Found | Promise<Found>): Promise<Check> {
  try {
    const found = await check();
    if (typeof found === 'string') return { name, status: 'passed', detail: found };
    return { name, status: 'not-checked', detail: found.notChecked };
  } catch (error) {
    return failed(name, error);
  }
}

function failed(name: CheckName, error: unknown): Check {
  return { name, status: 'failed', detail: error instanceof Error ? error.message : String(error) };
}

async function checkRequesterSignature({ file, predicate, holdings }: Subject): Promise<Found> {
  const { id, publicKey } = predicate.requester;
  const key = fromBase64(publicKey);
  await openStrictly(file.envelope, STATEMENT_PAYLOAD_TYPE, key, holdings.verify);
  demand(peerIdOf(key) === id, 'the id of the requester is not that of its key');
  return `signed by ${id}`;
}
