import { ChorusError } from '#shared/errors.ts';

/** What a hub is asked for here is a page of file names, or facts of a model. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;
/** Longer waits are for people to decide. */
const MAX_WAIT_MS = 10 * 60_000;
const MAX_WAITS = 20;
const SILENCE_MS = 60_000;

export interface HubAccess {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | null;
  readonly wait: (ms: number) => Promise<void>;
  /** Told for people, before each wait. */
  readonly onWait: (ms: number) => void;
}

/**
 * A `fetch` for one repository of a hub: its token goes to the hub alone, it waits as long as it is told to, and refusals are said
 * with what would do. Throws `not-found`, `unsupported` where terms have to be accepted, `rate-limited`, `link-lost`.
 */
export function createHubFetch({ endpoint, token, wait, onWait }: HubAccess, repository: string): typeof fetch {
  const page = `${endpoint}/${repository}`;
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    headers.delete('authorization');
    if (token !== null && url.origin === new URL(endpoint).origin) headers.set('authorization', `Bearer ${token}`);
    for (let waits = 0; ; waits++) {
      const response = await fetch(url, { ...init, headers }).catch((thrown: unknown) => {
        throw new ChorusError('link-lost', `the hub at ${endpoint} cannot be reached`, {}, causeOf(thrown));
      });
      if (response.ok || response.status === 416) return response;
      const code = response.headers.get('x-error-code') ?? '';
      await response.body?.cancel();
      const { status } = response;
      if (status === 429 || status === 503) {
        const ms = waitOf(response.headers, waits);
        if (waits >= MAX_WAITS || ms > MAX_WAIT_MS)
          throw new ChorusError(
            'rate-limited',
            `the hub wants no more requests for ${Math.ceil(ms / 60_000)} minutes; try again then${token === null ? ', or set HF_TOKEN: it allows more' : ''}`,
          );
        onWait(ms);
        await wait(ms);
        continue;
      }
      throw refusal(status, code, page, repository, token !== null);
    }
  };
}

/** As `fetch`, of an answer that is read whole and is no longer than such answers are. */
export function withLimitedAnswers(hubFetch: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await hubFetch(input, init);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of silentBodyOf(response)) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new ChorusError('too-large', 'the hub’s answer is too long');
      chunks.push(chunk);
    }
    return new Response(Buffer.concat(chunks), { status: response.status, headers: response.headers });
  };
}

/** The chunks of a body. Throws `link-lost` where it is cut off, or where nothing comes for a minute. */
export async function* silentBodyOf({ body }: Response): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  try {
    for (;;) {
      let stop = (): void => undefined;
      const silence = new Promise<never>((_, reject) => {
        const timer = setTimeout(() => reject(new ChorusError('link-lost', 'the hub fell silent')), SILENCE_MS);
        stop = () => clearTimeout(timer);
      });
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => stop());
      if (done) return;
      yield value;
    }
  } catch (thrown) {
    if (thrown instanceof ChorusError) throw thrown;
    throw new ChorusError('link-lost', 'the connection to the hub was cut', {}, causeOf(thrown));
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** By the header of HTTP, else by that of the hub (`"api";r=0;t=55`), else longer each time. */
function waitOf(headers: Headers, waits: number): number {
  const after = headers.get('retry-after') ?? '';
  if (/^\d+$/.test(after)) return 1000 * Number(after);
  const at = Date.parse(after);
  if (!Number.isNaN(at)) return Math.max(0, at - Date.now());
  const seconds = /\bt=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  return seconds === undefined ? Math.min(60_000, 1000 * 2 ** waits) : 1000 * Number(seconds);
}

function refusal(status: number, code: string, page: string, repository: string, hasToken: boolean): ChorusError {
  const token = hasToken
    ? 'the token in HF_TOKEN has no access to it'
    : 'set HF_TOKEN to a token of an account that has access';
  if (code === 'GatedRepo' || status === 403)
    return new ChorusError(
      'unsupported',
      `${repository} asks everyone to accept its terms first: do so at ${page}; then ${token}`,
    );
  if (status === 401)
    return new ChorusError(
      'not-found',
      `the hub shows ${repository} to nobody unknown: there is none of that name, or it is private or gated; ${token}`,
    );
  if (code === 'RevisionNotFound')
    return new ChorusError('not-found', `${repository} has no such revision; see ${page}/commits`);
  if (status === 404)
    return new ChorusError('not-found', `there is no ${repository} on this hub, or no such file in it; see ${page}`);
  return new ChorusError('link-lost', `the hub answers with status ${status}; try again later`);
}

function causeOf(thrown: unknown): string {
  const { cause } = thrown as { cause?: unknown };
  return String(cause ?? thrown);
}
