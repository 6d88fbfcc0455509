import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import { ChorusError, toChorusError, type ErrorCode } from '../../errors.ts';
import { abortAfter } from '../abort-after.ts';
import { readBody, readStart, type HttpFetch, type HttpRequest, type HttpResponse } from './http.ts';

const MAX_REASON_BYTES = 16 * 1024;

/** How the server says why not. Its codes are those of an API for strangers: the status says more. */
const reasonSchema = z.object({ error: z.object({ message: z.string().max(1000) }) });

/** How errors speak of the server: a page has one, a program may have several. */
export interface ServerWords {
  readonly name: string;
  /** `reason` is null where the server gave none. */
  refused(status: number, path: string, reason: string | null): string;
  unreachable(thrown: unknown): string;
}

export interface AskServerDeps {
  readonly fetch: HttpFetch;
  readonly clock: Clock;
  readonly words: ServerWords;
}

export interface ServerQuestion {
  readonly path: string;
  /** The kind of thing asked for, as in `the server has no such receipt`. */
  readonly what: string;
  /** The code of its absence; `not-found` if left out. */
  readonly missing?: ErrorCode;
  readonly maxBytes: number;
  /** How long the server may be silent: what a slow link takes for the whole of an answer is its own affair. */
  readonly silenceMs: number;
  readonly headers?: Record<string, string>;
  /** Only these bytes are asked for; of a server that gives all, only these are kept. */
  readonly range?: { readonly start: number; readonly end: number };
  /** Sent with POST; left out for GET. */
  readonly body?: string;
  readonly cache?: HttpRequest['cache'];
  readonly signal: AbortSignal;
}

/**
 * The body of a good answer. Rejects with `timeout`, `server-lost`, `too-large`, what `signal` was aborted with, and the
 * code that stands for a refusal's status, with `status` in its details.
 */
export async function askServer(deps: AskServerDeps, question: ServerQuestion): Promise<Uint8Array<ArrayBuffer>> {
  const { words, clock } = deps;
  const { path, silenceMs, signal, range, body = null, cache = 'default' } = question;
  const headers = { ...question.headers, ...(range && { range: `bytes=${range.start}-${range.end - 1}` }) };
  const silence = new ChorusError('timeout', `${words.name} said nothing for ${silenceMs / 1000} s`);
  const limit = abortAfter(clock, silenceMs, silence, signal);
  const method = body === null ? 'GET' : 'POST';
  try {
    const response = await deps.fetch(path, { method, headers, body, cache, signal: limit.signal });
    if (!response.ok) throw await refusal(response, question, words);
    return await readAnswer(response, question, () => limit.restart());
  } catch (thrown) {
    if (signal.aborted) throw toChorusError(signal.reason, 'cancelled');
    if (limit.signal.aborted) throw silence;
    if (thrown instanceof ChorusError) throw thrown;
    throw new ChorusError('server-lost', words.unreachable(thrown));
  } finally {
    limit.clear();
  }
}

async function readAnswer(
  response: HttpResponse,
  { range, maxBytes }: ServerQuestion,
  onBytes: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  if (range === undefined || response.status === 206) return readBody(response, maxBytes, onBytes);
  return (await readStart(response, range.end, onBytes)).slice(range.start);
}

async function refusal(response: HttpResponse, question: ServerQuestion, words: ServerWords): Promise<ChorusError> {
  const { status } = response;
  const absent = status === 404 ? `${words.name} has no such ${question.what}` : null;
  const reason = (await readReason(response)) ?? absent;
  return new ChorusError(codeOf(status, question), words.refused(status, question.path, reason), { status });
}

async function readReason(response: HttpResponse): Promise<string | null> {
  try {
    const body = JSON.parse(new TextDecoder().decode(await readBody(response, MAX_REASON_BYTES))) as unknown;
    return reasonSchema.parse(body).error.message;
  } catch {
    return null;
  }
}

function codeOf(status: number, { missing = 'not-found' }: ServerQuestion): ErrorCode {
  switch (status) {
    case 404:
      return missing;
    case 400:
      return 'bad-message';
    case 413:
      return 'too-large';
    case 429:
      return 'rate-limited';
    default:
      return 'server-lost';
  }
}
