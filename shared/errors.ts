/** Every way a message, model, link or session can fail, as the wire and the API name it. */
export const ERROR_CODES = [
  // what came from outside was not well formed or broke a limit
  'bad-message',
  'too-large',
  'bad-manifest',
  'bad-model',
  'unsupported-model',
  'digest-mismatch',
  // who is at the other end
  'bad-signature',
  'wrong-peer',
  'unrouted',
  'protocol-version',
  /** Another connection with the same key took this one's place: do not reconnect. */
  'replaced',
  'rate-limited',
  // what the network can do now
  'unknown-model',
  /** The server has no receipt, blob or file of this name. */
  'not-found',
  'no-coverage',
  'all-busy',
  'too-few-volunteers',
  'too-long',
  // what happened on the way
  'link-lost',
  'server-lost',
  'worker-lost',
  'device-lost',
  'probe-failed',
  'pin-mismatch',
  'out-of-memory',
  'unknown-session',
  'gap',
  /** A replica's work was not what the others found, or it did not take part in the check. */
  'check-failed',
  /** Text that was released early turned out to be wrong. */
  'retracted',
  'timeout',
  'cancelled',
  'unsupported',
  'internal',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

const KNOWN: ReadonlySet<string> = new Set(ERROR_CODES);

/**
 * A code as another program named it. One that is not known here, such as a newer program's, becomes `internal`: the
 * text that comes with it still says what happened.
 */
export function parseErrorCode(code: string): ErrorCode {
  return isErrorCode(code) ? code : 'internal';
}

function isErrorCode(code: string): code is ErrorCode {
  return KNOWN.has(code);
}

/** An error that may cross a worker, a link or the API: a code for programs, a sentence for people. */
export class ChorusError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  /** The platform's own words, where the message is made of them: for reports and logs, not for people. */
  readonly raw: string | null;

  constructor(
    code: ErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    raw: string | null = null,
  ) {
    super(message);
    this.name = 'ChorusError';
    this.code = code;
    this.details = details;
    this.raw = raw;
  }
}

/** Any thrown value as a ChorusError; one of another kind becomes `fallback` with its message kept, which is `raw` then. */
export function toChorusError(thrown: unknown, fallback: ErrorCode = 'internal'): ChorusError {
  if (thrown instanceof ChorusError) return thrown;
  const isAbort = typeof thrown === 'object' && thrown !== null && 'name' in thrown && thrown.name === 'AbortError';
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new ChorusError(isAbort ? 'cancelled' : fallback, message, {}, message);
}
