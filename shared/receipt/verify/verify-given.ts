import { verifyReceipt, type Verification, type VerifyReceipt } from './verify-receipt.ts';

/** A verification, and the request it is of. */
export interface VerifiedGiven {
  readonly verification: Verification;
  readonly used: VerifyReceipt;
}

/**
 * Verifies a receipt whose answer was read from a file. Programs that write a text to one may put a byte order mark before
 * it and a line feed after it, so an answer that is not the receipt's own may do without one of each.
 */
export async function verifyGiven(request: VerifyReceipt): Promise<VerifiedGiven> {
  const verification = await verifyReceipt(request);
  const { answer } = request;
  if (answer === undefined || answerStatus(verification) !== 'failed') return { verification, used: request };
  for (const reading of otherReadings(answer)) {
    const used = { ...request, answer: reading };
    const again = await verifyReceipt(used);
    if (answerStatus(again) === 'passed') return { verification: again, used };
  }
  return { verification: await hinted(verification, { ...request, answer }), used: request };
}

/** Tells where only the ends of lines keep a text from being the receipt's. */
async function hinted(verification: Verification, request: VerifyReceipt & { answer: string }): Promise<Verification> {
  const text = request.answer.replaceAll(/\r\n?/g, '\n');
  if (text === request.answer) return verification;
  for (const answer of [text, ...otherReadings(text)]) {
    if (answerStatus(await verifyReceipt({ ...request, answer })) !== 'passed') continue;
    const hint = 'its lines end in CR LF, and with LF alone it would be: a program has changed them';
    const checks = verification.checks.map((check) =>
      check.name === 'answer' ? { ...check, detail: `${check.detail}; ${hint}` } : check,
    );
    return { ...verification, checks };
  }
  return verification;
}

/** A text as it was read from a file, without the byte order mark that some programs write before it. */
export function withoutMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function otherReadings(text: string): Set<string> {
  const withoutEnd = (each: string) => (each.endsWith('\n') ? each.slice(0, -1) : each);
  const readings = new Set([withoutEnd(text), withoutMark(text), withoutEnd(withoutMark(text))]);
  readings.delete(text);
  return readings;
}

function answerStatus({ checks }: Verification) {
  return checks.find(({ name }) => name === 'answer')?.status;
}
