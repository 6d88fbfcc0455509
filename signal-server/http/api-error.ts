import type { Response } from 'express';
import { type ChorusError, type ErrorCode, toChorusError } from '#shared/errors.ts';
import { BodyError } from './read-json.ts';

/** The error object of the OpenAI API. */
export interface ApiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** A refusal as an API client sees it: HTTP status, error object and, where waiting helps, how long to wait. */
export class ApiError extends Error {
  readonly status: number;
  readonly body: ApiErrorBody;
  readonly retryAfterSeconds: number | null;
  /** The methods that the URL takes, where it was asked with another. */
  readonly allow: string | null;

  constructor(
    status: number,
    code: string,
    message: string,
    details: { type?: string; param?: string | null; retryAfterSeconds?: number; allow?: string } = {},
  ) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.retryAfterSeconds = details.retryAfterSeconds ?? null;
    this.allow = details.allow ?? null;
    const type = details.type ?? (status < 500 ? 'invalid_request_error' : 'server_error');
    this.body = { error: { message, type, param: details.param ?? null, code } };
  }
}

/** How each failure of the network looks to an API client; what is missing here is an internal error. */
const failures: Partial<
  Record<ErrorCode, { status: number; code?: string; type?: string; retryAfterSeconds?: number }>
> = {
  'unknown-model': { status: 404, code: 'model_not_found' },
  'too-long': { status: 400, code: 'context_length_exceeded' },
  'rate-limited': { status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error', retryAfterSeconds: 5 },
  'all-busy': { status: 503, retryAfterSeconds: 5 },
  'no-coverage': { status: 503, retryAfterSeconds: 10 },
  'too-few-volunteers': { status: 503, retryAfterSeconds: 10 },
  'link-lost': { status: 503, retryAfterSeconds: 2 },
  'server-lost': { status: 503, retryAfterSeconds: 2 },
  'worker-lost': { status: 503, retryAfterSeconds: 2 },
  'device-lost': { status: 503, retryAfterSeconds: 2 },
  'unknown-session': { status: 503, retryAfterSeconds: 2 },
  'out-of-memory': { status: 503, retryAfterSeconds: 5 },
  'check-failed': { status: 503, retryAfterSeconds: 2 },
  /** Only ever the end of a stream. */
  retracted: { status: 503 },
  timeout: { status: 504, code: 'timeout' },
  /** Heard by nobody where the client left; else the server's own end. */
  cancelled: { status: 503, retryAfterSeconds: 2 },
};

/** Any thrown value as what the client is told. Failures of our own making keep their words to themselves. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof BodyError) return new ApiError(thrown.status, thrown.code, thrown.message);
  if (thrown instanceof URIError) {
    return new ApiError(400, 'invalid_url', 'The URL has an escape (%) that stands for no character.');
  }
  const error: ChorusError = toChorusError(thrown);
  const failure = failures[error.code];
  if (!failure) return new ApiError(500, 'internal_error', 'The server had an error while processing your request.');
  const { status, code, ...details } = failure;
  return new ApiError(status, code ?? error.code.replaceAll('-', '_'), error.message, details);
}

/** Gives the refusal as the whole answer. */
export function answerWith(response: Response, { status, body, retryAfterSeconds, allow }: ApiError): void {
  if (allow !== null) response.setHeader('allow', allow);
  if (retryAfterSeconds !== null) response.setHeader('retry-after', String(retryAfterSeconds));
  response.status(status).json(body);
}
