import { z } from 'zod';
import { envelopeSchema, type Envelope } from '#shared/crypto/envelope.ts';
import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { MAX_MANIFEST_BYTES } from '#shared/limits.ts';
import { abortAfter } from '#shared/peer/abort-after.ts';
import { receiptFileSchema, type ReceiptFile } from '#shared/receipt/receipt.ts';
import { logStatusSchema, type LogStatus } from '#shared/wire/log-status.ts';
import { modelListSchema, type ModelSummary } from '#shared/wire/model-list.ts';
import { networkSnapshotSchema, type NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { receiptListSchema, type ReceiptList, type ReceiptQuery } from '#shared/wire/receipt-list.ts';
import { pageClock } from '../browser/page-clock.ts';

/** How long the server may be silent: what a slow link takes for the whole of an answer is its own affair. */
const JSON_SILENCE_MS = 10_000;
const RANGE_SILENCE_MS = 30_000;

/** How the server says why not; its codes are not all ours. */
const errorSchema = z.object({ error: z.object({ message: z.string().max(1000) }) });

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
  const { status, bytes } = await load(`/blobs/${digest}`, { headers, signal, silenceMs: RANGE_SILENCE_MS });
  const isWhole = status === 200 && bytes.length >= end;
  return isWhole ? bytes.slice(start, end) : bytes;
}

/** Gives the server a signed receipt for its log; the answer is the receipt with its proof, which whoever uses it checks. */
export async function postReceipt(envelope: Envelope, signal: AbortSignal): Promise<ReceiptFile> {
  const body = JSON.stringify({ envelope });
  const parsed = receiptFileSchema.safeParse(await fetchJson('/api/receipts', signal, body));
  if (!parsed.success) throw new ChorusError('bad-message', 'what the server gave back is no receipt');
  return parsed.data;
}

/**
 * A logged receipt with its newest proof, neither of them checked. Where the server has none of this id, the error's
 * details have `status` 404 and its message says what the server knows of it.
 */
export async function fetchReceipt(id: Digest, signal: AbortSignal): Promise<ReceiptFile> {
  const parsed = receiptFileSchema.safeParse(await fetchJson(`/v1/receipts/${id}`, signal));
  if (!parsed.success) throw new ChorusError('bad-message', 'what the server gave is no receipt');
  return parsed.data;
}

/** Logged receipts, the last finished first. */
export async function fetchReceipts(query: ReceiptQuery, signal: AbortSignal): Promise<ReceiptList> {
  const given = Object.entries(query).flatMap(([name, value]) => (value === null ? [] : [[name, String(value)]]));
  const parsed = receiptListSchema.safeParse(await fetchJson(`/api/receipts?${new URLSearchParams(given)}`, signal));
  if (!parsed.success) throw new ChorusError('bad-message', 'the server’s list of receipts cannot be read');
  return parsed.data;
}

/** What the server says of its log. */
export async function fetchLog(signal: AbortSignal): Promise<LogStatus> {
  const parsed = logStatusSchema.safeParse(await fetchJson('/api/log', signal));
  if (!parsed.success) throw new ChorusError('bad-message', 'what the server says of its log cannot be read');
  return parsed.data;
}

/** A file of the log (C2SP tlog-tiles); whoever uses it checks it. Throws `too-large` above `maxBytes`. */
export async function fetchLogFile(
  path: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const { bytes } = await load(`/log/${path}`, {
    headers: {},
    signal,
    silenceMs: JSON_SILENCE_MS,
    // A kept one may be older than what the page has seen proved since, as if the log had shrunk.
    ...(path === 'checkpoint' && { cache: 'no-store' }),
  });
  if (bytes.length > maxBytes) throw new ChorusError('too-large', 'a file of the log is too large');
  return bytes;
}

/** Asks with GET, or with POST where there is a `body`. */
async function fetchJson(path: string, signal: AbortSignal, body: string | null = null): Promise<unknown> {
  const headers = { accept: 'application/json', ...(body !== null && { 'content-type': 'application/json' }) };
  const { bytes } = await load(path, { headers, signal, silenceMs: JSON_SILENCE_MS, body });
  // An envelope carries the manifest in base64, a third longer than its bytes.
  if (bytes.length > 2 * MAX_MANIFEST_BYTES) throw new ChorusError('too-large', 'the server’s answer is too large');
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
  } catch {
    throw new ChorusError('bad-message', 'the server’s answer is not JSON');
  }
}

interface LoadOptions {
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
  readonly silenceMs: number;
  /** Sent with POST; null or left out for GET. */
  readonly body?: string | null;
  readonly cache?: RequestCache;
}

async function load(
  path: string,
  { headers, signal, silenceMs, body = null, cache = 'default' }: LoadOptions,
): Promise<{ readonly status: number; readonly bytes: Uint8Array<ArrayBuffer> }> {
  const silence = new ChorusError('timeout', `the server said nothing for ${silenceMs / 1000} s`);
  const limit = abortAfter(pageClock(), silenceMs, silence, signal);
  try {
    const method = body === null ? 'GET' : 'POST';
    const response = await fetch(path, { method, body, headers, cache, signal: limit.signal });
    const { status } = response;
    if (!response.ok) {
      const told = errorSchema.safeParse(await response.json().catch(() => null));
      const message = told.success ? told.data.error.message : `the server answered ${status} for ${path}`;
      throw new ChorusError(codeOf(status), message, { status });
    }
    return { status, bytes: await readBody(response, () => limit.restart()) };
  } catch (thrown) {
    if (signal.aborted) throw new ChorusError('cancelled', 'no longer wanted');
    if (thrown instanceof ChorusError) throw thrown;
    throw new ChorusError('server-lost', 'the server cannot be reached');
  } finally {
    limit.clear();
  }
}

/** Calls `onBytes` as parts of it come. */
async function readBody(response: Response, onBytes: () => void): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    onBytes();
    parts.push(part.value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'unknown-model';
  if (status === 400) return 'bad-message';
  if (status === 413) return 'too-large';
  return status === 429 ? 'rate-limited' : 'server-lost';
}
