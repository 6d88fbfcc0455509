import type { ZodType } from 'zod';
import { type Envelope, envelopeSchema } from '../../crypto/envelope.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { BLOB_PIECE_BYTES, MAX_MANIFEST_BYTES } from '../../limits.ts';
import { receiptFileSchema, type ReceiptFile } from '../../receipt/receipt.ts';
import { logStatusSchema, type LogStatus } from '../../wire/log-status.ts';
import { modelListSchema, type ModelSummary } from '../../wire/model-list.ts';
import { networkSnapshotSchema, type NetworkSnapshot } from '../../wire/network-snapshot.ts';
import { receiptListSchema, type ReceiptList, type ReceiptQuery } from '../../wire/receipt-list.ts';
import { askServer, type AskServerDeps, type ServerQuestion } from './ask-server.ts';

/** A piece may be read from a slow disk first. */
const PIECE_SILENCE_MS = 30_000;
/** Base64 makes four bytes of three; the rest of the envelope is small. */
const MAX_ENVELOPE_BYTES = 2 * MAX_MANIFEST_BYTES;
const MAX_LIST_BYTES = 16 * 1024 * 1024;
const MAX_RECEIPT_FILE_BYTES = 2 * 1024 * 1024;

export interface ServerApiDeps extends AskServerDeps {
  /** How long the server may be silent when anything but a piece of a blob is asked for. */
  readonly silenceMs: number;
}

/**
 * The requests of a peer to its signal server over HTTP. Every call rejects with a ChorusError: `timeout`, `server-lost`,
 * `cancelled`, `too-large`, `rate-limited`, `bad-message`, or the code that its line names for what is not there.
 */
export interface ServerApi {
  fetchModels(signal: AbortSignal): Promise<readonly ModelSummary[]>;
  /** The network as the server sees it. */
  fetchNetwork(signal: AbortSignal): Promise<NetworkSnapshot>;
  /** The signed manifest as served; signature and digest are for the caller to check. `unknown-model` */
  fetchManifest(digest: Digest, signal: AbortSignal): Promise<Envelope>;
  /** Bytes [start, end) of a blob, unchecked. `not-found` */
  fetchRange(digest: Digest, start: number, end: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Gives the server a receipt for its log; what comes back is for the caller to check. */
  postReceipt(envelope: Envelope, signal: AbortSignal): Promise<ReceiptFile>;
  /** A logged receipt with its newest proof, unchecked. `not-found`, with what the server knows of this id as the message */
  fetchReceipt(id: Digest, signal: AbortSignal): Promise<ReceiptFile>;
  /** Logged receipts, the last finished first. */
  fetchReceipts(query: ReceiptQuery, signal: AbortSignal): Promise<ReceiptList>;
  /** The state of the server's log, as it tells it. */
  fetchLog(signal: AbortSignal): Promise<LogStatus>;
  /** A file of the log (C2SP tlog-tiles), unchecked. `not-found` */
  fetchLogFile(path: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Why no socket to the server opens: what it answers to a request at the socket's own address. Never rejects. */
  whyNoSocket(signal: AbortSignal): Promise<ChorusError | null>;
}

export function createServerApi({ silenceMs, ...deps }: ServerApiDeps): ServerApi {
  async function askJson<T>(
    schema: ZodType<T>,
    question: Omit<ServerQuestion, 'silenceMs' | 'headers' | 'cache'>,
  ): Promise<T> {
    const { what, body } = question;
    const headers = { accept: 'application/json', ...(body !== undefined && { 'content-type': 'application/json' }) };
    const bytes = await askServer(deps, { silenceMs, headers, ...question });
    try {
      return schema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    } catch {
      throw new ChorusError('bad-message', `what ${deps.words.name} answered is no ${what} that can be read`);
    }
  }

  return {
    async fetchModels(signal) {
      const list = { path: '/api/models', what: 'list of models', maxBytes: MAX_LIST_BYTES, signal };
      return (await askJson(modelListSchema, list)).models;
    },
    fetchNetwork: (signal) =>
      askJson(networkSnapshotSchema, {
        ...{ path: '/api/network', what: 'picture of the network', maxBytes: MAX_LIST_BYTES, signal },
      }),
    fetchManifest: (digest, signal) =>
      askJson(envelopeSchema, {
        ...{ path: `/api/models/${digest}`, what: 'model', missing: 'unknown-model' },
        ...{ maxBytes: MAX_ENVELOPE_BYTES, signal },
      }),
    async fetchRange(digest, start, end, signal) {
      const bytes = end - start;
      if (bytes > BLOB_PIECE_BYTES) throw new ChorusError('too-large', 'a blob is fetched one piece at a time');
      const asked = { path: `/blobs/${digest}`, what: 'blob', silenceMs: PIECE_SILENCE_MS };
      const piece = await askServer(deps, { ...asked, range: { start, end }, maxBytes: bytes, signal });
      if (piece.length !== bytes) throw new ChorusError('bad-message', 'a blob came shorter than asked for');
      return piece;
    },
    postReceipt: (envelope, signal) =>
      askJson(receiptFileSchema, {
        ...{ path: '/api/receipts', what: 'receipt', maxBytes: MAX_RECEIPT_FILE_BYTES, signal },
        body: JSON.stringify({ envelope }),
      }),
    fetchReceipt: (id, signal) =>
      askJson(receiptFileSchema, {
        ...{ path: `/v1/receipts/${id}`, what: 'receipt', maxBytes: MAX_RECEIPT_FILE_BYTES, signal },
      }),
    fetchReceipts: (query, signal) =>
      askJson(receiptListSchema, {
        ...{ path: `/api/receipts?${queryOf(query)}`, what: 'list of receipts', maxBytes: MAX_LIST_BYTES, signal },
      }),
    fetchLog: (signal) =>
      askJson(logStatusSchema, { path: '/api/log', what: 'status of the log', maxBytes: MAX_LIST_BYTES, signal }),
    fetchLogFile: (path, maxBytes, signal) =>
      askServer(deps, {
        ...{ path: `/log/${path}`, what: 'file of the log', maxBytes, silenceMs, signal },
        // A kept one may be older than what was seen proved since, as if the log had shrunk.
        ...(path === 'checkpoint' && { cache: 'no-store' as const }),
      }),
    whyNoSocket: (signal) =>
      // With POST, browsers say which page asks.
      askServer(deps, { path: '/control', what: 'socket', maxBytes: 0, silenceMs, body: '', signal }).then(
        () => null,
        (thrown: unknown) => {
          const error = toChorusError(thrown);
          const isRefusal = error.details['status'] === 403 || error.details['status'] === 426;
          return isRefusal ? new ChorusError('socket-refused', error.message, error.details) : error;
        },
      ),
  };
}

function queryOf(query: ReceiptQuery): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === null ? [] : [`${name}=${encodeURIComponent(String(value))}`],
  );
  return given.join('&');
}
