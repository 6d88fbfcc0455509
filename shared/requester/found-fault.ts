import type { ErrorCode } from '../errors.ts';
import type { PeerId } from '../ids.ts';
import type { CheckFailure } from '../judge/finding.ts';
import type { Proof } from '../proof/proof-schema.ts';

/** A replica that failed, with what shows it to the server where there is such a thing. */
export interface FoundFault {
  readonly volunteer: PeerId;
  readonly stage: number;
  readonly role: 'primary' | 'shadow';
  readonly code: CheckFailure;
  readonly start: number;
  readonly end: number;
  readonly proof: Proof | null;
}

const SILENT: ReadonlySet<CheckFailure> = new Set([
  'commit-missing',
  'commit-late',
  'reveal-missing',
  'reveal-late',
  'too-slow',
]);

/** A failure as the server hears of it: nothing worse than no answer, where there was just none. */
export function reportedCode(failure: CheckFailure): ErrorCode {
  if (failure === 'unreachable') return 'link-lost';
  return SILENT.has(failure) ? 'timeout' : 'check-failed';
}
