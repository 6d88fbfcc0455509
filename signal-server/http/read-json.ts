import express, { type Request, type RequestHandler } from 'express';

/** Those that every supported Node can undo. */
const ENCODINGS = new Set(['identity', 'gzip', 'deflate', 'br']);

/** A request whose body cannot be read: its sender's fault. */
export class BodyError extends Error {
  readonly status: 400 | 413 | 415;
  readonly code: 'invalid_body' | 'invalid_json' | 'request_too_large' | 'unsupported_encoding';

  constructor(status: BodyError['status'], code: BodyError['code'], message: string) {
    super(message);
    this.name = 'BodyError';
    this.status = status;
    this.code = code;
  }
}

/**
 * Reads bodies of type application/json, of so many bytes at most once they are decompressed. They must be UTF-8 to the last
 * byte: read all the same, other bytes would be another text. Fails with BodyError.
 */
export function readJson(limitBytes: number): RequestHandler {
  const readBytes = express.raw({ type: 'application/json', limit: limitBytes });
  return (request, response, next) => {
    const fault = encodingFault(request);
    if (fault !== null) return next(fault);
    readBytes(request, response, (thrown?: unknown) => {
      if (thrown) return next(bodyError(thrown, request));
      const body: unknown = request.body;
      if (!Buffer.isBuffer(body)) return next();
      try {
        request.body = parseJson(body);
        next();
      } catch (error) {
        next(error);
      }
    });
  };
}

function encodingFault({ headers }: Request): BodyError | null {
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (!ENCODINGS.has(encoding)) {
    const message = `The content-encoding '${encoding.slice(0, 80)}' is not read here. Send the body as it is, or with gzip, deflate or br.`;
    return new BodyError(415, 'unsupported_encoding', message);
  }
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  if (isUtf8(charset)) return null;
  const message = `The charset '${charset.slice(0, 80)}' is not read here. The body must be JSON in UTF-8.`;
  return new BodyError(415, 'unsupported_encoding', message);
}

/** True for each name that the Encoding Standard has for it, such as utf8. */
function isUtf8(charset: string): boolean {
  try {
    return new TextDecoder(charset).encoding === 'utf-8';
  } catch {
    return false;
  }
}

function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new BodyError(400, 'invalid_json', 'The request body is not valid UTF-8.');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new BodyError(400, 'invalid_json', 'The request body is not valid JSON.');
  }
}

/** Errors of the reader, by their documented `type`; what has none comes of undoing the compression. */
function bodyError(thrown: unknown, { headers }: Request): unknown {
  if (typeof thrown !== 'object' || thrown === null) return thrown;
  const { type, status } = thrown as { type?: unknown; status?: unknown };
  if (type === 'entity.too.large') {
    return new BodyError(413, 'request_too_large', 'The request body is too large.');
  }
  if (type === 'request.aborted' || type === 'request.size.invalid') {
    return new BodyError(400, 'invalid_body', 'The request body is incomplete.');
  }
  if (status !== 400) return thrown;
  const encoding = headers['content-encoding'] ?? 'identity';
  return new BodyError(400, 'invalid_body', `The request body is not what its content-encoding '${encoding}' says.`);
}
