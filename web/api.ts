import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { MAX_MANIFEST_BYTES } from '#shared/limits.ts';
import { envelopeSchema, type Envelope } from '#shared/session/route.ts';
import { modelListSchema, type ModelSummary } from '#shared/wire/model-list.ts';
import { networkSnapshotSchema, type NetworkSnapshot } from '#shared/wire/network-snapshot.ts';

const JSON_TIMEOUT_MS = 10_000;
const RANGE_TIMEOUT_MS = 60_000;

/** The models this server has. Throws `server-lost`, `timeout`, `cancelled` or `bad-message`, as all here do. */
export async function fetchModels(signal: AbortSignal): Promise<readonly ModelSummary[]> {
  const parsed = modelListSchema.safeParse(await fetchJson('/api/models', signal));
  if (!parsed.success) throw new ChorusError('bad-message', 'the server’s list of models cannot be read');
  return parsed.data.models;
}

/** The network as the server sees it. */
export async function fetchNetwork(signal: AbortSignal): Promise<NetworkSnapshot> {
  const parsed = networkSnapshotSchema.safeParse(await fetchJson('/api/network', signal));
  if (!parsed.success) throw new ChorusError('bad-message', 'the server’s picture of the network cannot be read');
  return parsed.data;
}

/** The signed manifest of a model; whoever uses it checks signature and digest. */
export async function fetchManifest(digest: Digest, signal: AbortSignal): Promise<Envelope> {
  const parsed = envelopeSchema.safeParse(await fetchJson(`/api/models/${digest}`, signal));
  if (!parsed.success) throw new ChorusError('bad-message', 'the server’s manifest is no signed envelope');
  return parsed.data;
}

/** Bytes [start, end) of a blob; whoever uses them checks them. */
export async function fetchRange(
  digest: Digest,
  start: number,
  end: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const headers = { range: `bytes=${start}-${end - 1}` };
  return load(`/blobs/${digest}`, { headers, signal, timeoutMs: RANGE_TIMEOUT_MS }, async (response) => {
    const bytes = new Uint8Array(await response.arrayBuffer());
    const isWhole = response.status === 200 && bytes.length >= end;
    return isWhole ? bytes.slice(start, end) : bytes;
  });
}

async function fetchJson(path: string, signal: AbortSignal): Promise<unknown> {
  return load(
    path,
    { headers: { accept: 'application/json' }, signal, timeoutMs: JSON_TIMEOUT_MS },
    async (response) => {
      const text = await response.text();
      // An envelope carries the manifest in base64, a third longer than its bytes.
      if (text.length > 2 * MAX_MANIFEST_BYTES) throw new ChorusError('too-large', 'the server’s answer is too large');
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw new ChorusError('bad-message', 'the server’s answer is not JSON');
      }
    },
  );
}

interface LoadOptions {
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

async function load<T>(
  path: string,
  { headers, signal, timeoutMs }: LoadOptions,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(path, { headers, signal: AbortSignal.any([signal, timeout]) });
    if (!response.ok)
      throw new ChorusError(codeOf(response.status), `the server answered ${response.status} for ${path}`);
    return await read(response);
  } catch (thrown) {
    if (thrown instanceof ChorusError) throw thrown;
    if (signal.aborted) throw new ChorusError('cancelled', 'no longer wanted');
    if (timeout.aborted) throw new ChorusError('timeout', `the server did not answer within ${timeoutMs / 1000} s`);
    throw new ChorusError('server-lost', 'the server cannot be reached');
  }
}

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'unknown-model';
  return status === 429 ? 'rate-limited' : 'server-lost';
}
