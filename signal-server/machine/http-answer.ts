import { ChorusError, toChorusError } from '#shared/errors.ts';
import { readBody } from '#shared/peer/server/http.ts';

/** The answer to an HTTP request, read whole. */
export interface HttpAnswer {
  readonly status: number;
  /** Without parameters; empty if there is none. */
  readonly contentType: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface AnswerLimits {
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Sends a request, follows no redirect, and reads what is answered, whatever its status. Rejects with `server-lost`,
 * `too-large` or, once `signal` is aborted, `cancelled`.
 */
export async function request(url: URL, init: RequestInit, limits: AnswerLimits): Promise<HttpAnswer> {
  const signal = AbortSignal.any([limits.signal, AbortSignal.timeout(limits.timeoutMs)]);
  try {
    const response = await fetch(url, { redirect: 'manual', ...init, signal });
    const contentType = (response.headers.get('content-type') ?? '').split(';', 1)[0]!.trim();
    return { status: response.status, contentType, body: await readBody(response, limits.maxBytes) };
  } catch (error) {
    if (limits.signal.aborted) throw toChorusError(limits.signal.reason, 'cancelled');
    if (error instanceof ChorusError) throw error;
    throw new ChorusError('server-lost', `no answer from ${url.origin}: ${describeCause(error)}`);
  }
}

/** `fetch` hides what went wrong with the connection one or two causes deep. */
export function describeCause(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code;
  return cause instanceof Error ? cause.message : String(cause);
}
