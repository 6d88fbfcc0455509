/** Every way a message, model, link or session can fail, as the wire and the API name it. */
export type ErrorCode =
  // what came from outside was not well formed or broke a limit
  | 'bad-message'
  | 'too-large'
  | 'bad-manifest'
  | 'bad-model'
  | 'unsupported-model'
  | 'digest-mismatch'
  // who is at the other end
  | 'bad-signature'
  | 'wrong-peer'
  | 'unrouted'
  | 'protocol-version'
  /** Another connection with the same key took this one's place: do not reconnect. */
  | 'replaced'
  | 'rate-limited'
  // what the network can do now
  | 'unknown-model'
  | 'no-coverage'
  | 'all-busy'
  | 'too-few-volunteers'
  | 'too-long'
  // what happened on the way
  | 'link-lost'
  | 'server-lost'
  | 'worker-lost'
  | 'device-lost'
  | 'probe-failed'
  | 'pin-mismatch'
  | 'out-of-memory'
  | 'unknown-session'
  | 'gap'
  /** A replica's work was not what the others found, or it did not take part in the check. */
  | 'check-failed'
  /** Text that was released early turned out to be wrong. */
  | 'retracted'
  | 'timeout'
  | 'cancelled'
  | 'unsupported'
  | 'internal';

/** An error that may cross a worker, a link or the API: a code for programs, a sentence for people. */
export class ChorusError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.name = 'ChorusError';
    this.code = code;
    this.details = details;
  }
}

/** Any thrown value as a ChorusError; what is not one becomes `fallback` with its message kept. */
export function toChorusError(thrown: unknown, fallback: ErrorCode = 'internal'): ChorusError {
  if (thrown instanceof ChorusError) return thrown;
  const isAbort = typeof thrown === 'object' && thrown !== null && 'name' in thrown && thrown.name === 'AbortError';
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new ChorusError(isAbort ? 'cancelled' : fallback, message);
}
