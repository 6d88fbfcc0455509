import { concatBytes } from '../../bytes.ts';
import { ChorusError } from '../../errors.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Record<string, string>;
  readonly body: string | null;
  readonly cache: 'default' | 'no-store';
  readonly signal: AbortSignal;
}

/** The part of a `Response` that is used. */
export interface HttpResponse {
  readonly ok: boolean;
  readonly status: number;
  readonly body: {
    getReader(): {
      read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
      cancel(): Promise<void>;
    };
  } | null;
}

/** `fetch`, as browsers and Node have it. */
export type HttpFetch = (url: string, request: HttpRequest) => Promise<HttpResponse>;

/** The whole body, given up as soon as it is longer than `maxBytes`. Calls `onBytes` as parts of it come. */
export async function readBody(
  response: Pick<HttpResponse, 'body'>,
  maxBytes: number,
  onBytes: () => void = () => undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const body = await readUntil(response, (size) => size > maxBytes, onBytes);
  if (body.length > maxBytes) throw new ChorusError('too-large', `the server answered more than ${maxBytes} bytes`);
  return body;
}

/** The first `bytes` bytes of the body, or all of it where it is shorter; the rest is left unread. */
export async function readStart(
  response: Pick<HttpResponse, 'body'>,
  bytes: number,
  onBytes: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  return (await readUntil(response, (size) => size >= bytes, onBytes)).slice(0, bytes);
}

async function readUntil(
  { body }: Pick<HttpResponse, 'body'>,
  isEnough: (size: number) => boolean,
  onBytes: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body?.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
      onBytes();
      size += part.value.length;
      parts.push(part.value);
      if (isEnough(size)) break;
    }
  } catch {
    throw new ChorusError('server-lost', 'the connection broke off before the whole answer had come');
  } finally {
    // Nothing to cancel where all was read.
    await reader?.cancel().catch(() => undefined);
  }
  return concatBytes(...parts);
}
