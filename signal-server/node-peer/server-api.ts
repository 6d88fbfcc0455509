import { z, type ZodType } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { type Envelope, envelopeSchema } from '#shared/crypto/envelope.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { BLOB_PIECE_BYTES, MAX_MANIFEST_BYTES } from '#shared/limits.ts';
import { abortAfter } from '#shared/peer/abort-after.ts';
import { receiptFileSchema, type ReceiptFile } from '#shared/receipt/receipt.ts';
import { type ModelList, modelListSchema } from '#shared/wire/model-list.ts';
import { describeCause, readBody } from '../machine/http-answer.ts';
import { systemClock } from '../machine/system-clock.ts';

/** How long the server may be silent: what a slow link takes for the whole of it is its own affair. */
const SILENCE_MS = 30_000;
const MAX_MODEL_LIST_BYTES = 4 * 1024 * 1024;
const MAX_RECEIPT_FILE_BYTES = 2 * 1024 * 1024;
const MAX_REASON_BYTES = 16 * 1024;

const reasonSchema = z.object({ error: z.object({ message: z.string().max(1000) }) });

/** What a Node peer reads from a signal server over HTTP. Every call rejects with a ChorusError. */
export interface ServerApi {
  fetchModels(signal: AbortSignal): Promise<ModelList['models']>;
  /** The signed manifest as served; its signature and digest are for the caller to check. */
  fetchManifest(digest: Digest, signal: AbortSignal): Promise<Envelope>;
  /** Bytes [start, end) of a blob, unchecked. */
  fetchRange(digest: Digest, start: number, end: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Gives the server a receipt for its log; what comes back is for the caller to check. */
  postReceipt(envelope: Envelope, signal: AbortSignal): Promise<ReceiptFile>;
}

export function createServerApi(serverUrl: URL, clock: Clock = systemClock): ServerApi {
  /** The whole body of a good answer. */
  async function request(
    path: string,
    maxBytes: number,
    init: { signal: AbortSignal; method?: string; body?: string; headers?: Record<string, string> },
  ): Promise<Uint8Array<ArrayBuffer>> {
    const url = new URL(path, serverUrl);
    const silence = new ChorusError('server-lost', `${serverUrl.origin} was silent for ${SILENCE_MS / 1000} s`);
    const limit = abortAfter(clock, SILENCE_MS, silence, init.signal);
    try {
      const response = await fetch(url, { ...init, signal: limit.signal });
      if (response.ok) return await readBody(response, maxBytes, () => limit.restart());
      const reason = await readReason(response);
      const answered = `${serverUrl.origin} answered ${response.status} to ${url.pathname}${reason}`;
      throw new ChorusError('server-lost', answered);
    } catch (error) {
      if (init.signal.aborted) throw toChorusError(init.signal.reason, 'cancelled');
      if (error instanceof ChorusError) throw error;
      throw new ChorusError('server-lost', `no answer from ${serverUrl.origin}: ${describeCause(error)}`);
    } finally {
      limit.clear();
    }
  }

  async function requestJson<T>(
    path: string,
    schema: ZodType<T>,
    maxBytes: number,
    signal: AbortSignal,
    body?: string,
  ): Promise<T> {
    const post = body === undefined ? {} : { method: 'POST', body, headers: { 'content-type': 'application/json' } };
    const bytes = await request(path, maxBytes, { signal, ...post });
    try {
      return schema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    } catch {
      throw new ChorusError('bad-message', `what ${serverUrl.origin} answered to ${path} is not as expected`);
    }
  }

  return {
    async fetchModels(signal) {
      return (await requestJson('/api/models', modelListSchema, MAX_MODEL_LIST_BYTES, signal)).models;
    },
    // Base64 makes four bytes of three; the rest of the envelope is small.
    fetchManifest: (digest, signal) =>
      requestJson(`/api/models/${digest}`, envelopeSchema, 2 * MAX_MANIFEST_BYTES, signal),
    async fetchRange(digest, start, end, signal) {
      if (end - start > BLOB_PIECE_BYTES) throw new ChorusError('too-large', 'a blob is fetched one piece at a time');
      const headers = { range: `bytes=${start}-${end - 1}` };
      const bytes = await request(`/blobs/${digest}`, end - start, { signal, headers });
      if (bytes.length !== end - start) throw new ChorusError('bad-message', 'a blob came shorter than asked for');
      return bytes;
    },
    postReceipt: (envelope, signal) =>
      requestJson('/api/receipts', receiptFileSchema, MAX_RECEIPT_FILE_BYTES, signal, JSON.stringify({ envelope })),
  };
}

/** `: why`, as far as the server says it. */
async function readReason(response: Response): Promise<string> {
  try {
    const body = JSON.parse(new TextDecoder().decode(await readBody(response, MAX_REASON_BYTES))) as unknown;
    return `: ${reasonSchema.parse(body).error.message}`;
  } catch {
    return '';
  }
}
