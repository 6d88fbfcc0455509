import type { FetchBlobsDeps } from '../../blobs/fetch-blobs.ts';
import { fromBase64 } from '../../bytes.ts';
import { digestOf } from '../../crypto/identity.ts';
import { parseStrictJson } from '../../crypto/strict-json.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { manifestSchema, type Manifest } from '../../model/manifest.ts';
import type { ServerApi } from '../server/server-api.ts';

/** A server that may have a model: nothing of what it gives is believed. */
export type ModelServer = Pick<ServerApi, 'fetchManifest' | 'fetchRange'>;

/** The manifest of this digest from its bytes. Throws `digest-mismatch` for another, `bad-manifest` for what is none. */
export function readManifest(bytes: Uint8Array<ArrayBuffer>, digest: Digest): Manifest {
  if (digestOf(bytes) !== digest) {
    throw new ChorusError('digest-mismatch', 'this is another manifest than the one that the receipt names');
  }
  try {
    return manifestSchema.parse(parseStrictJson(bytes));
  } catch {
    throw new ChorusError('bad-manifest', 'the manifest that the receipt names is none that this program can read');
  }
}

/** The manifest of this digest from the first server that has it. Its name says which bytes it is, so no signature is needed. */
export function fetchReplayManifest(
  digest: Digest,
  servers: readonly ModelServer[],
  signal: AbortSignal,
): Promise<Manifest> {
  return fromFirst(servers, signal, async (server) => {
    const { payload } = await server.fetchManifest(digest, signal);
    return readManifest(decoded(payload), digest);
  });
}

/** Pieces of blobs from the first server that has each; errors name the blob. */
export function fetchFromAny(servers: readonly ModelServer[]): FetchBlobsDeps['fetchRange'] {
  return (digest, start, end, signal) =>
    fromFirst(servers, signal, (server) => server.fetchRange(digest, start, end, signal)).catch((thrown: unknown) => {
      const { code, message, details, raw } = toChorusError(thrown, 'server-lost');
      throw new ChorusError(code, message, { ...details, digest }, raw);
    });
}

/** The first good outcome, else the error of the last server. */
async function fromFirst<Value>(
  servers: readonly ModelServer[],
  signal: AbortSignal,
  ask: (server: ModelServer) => Promise<Value>,
): Promise<Value> {
  let failure = new ChorusError('not-found', 'no server was named that could have this model; name one');
  for (const server of servers) {
    try {
      return await ask(server);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      failure = toChorusError(thrown, 'server-lost');
    }
  }
  throw failure;
}

function decoded(payload: string): Uint8Array<ArrayBuffer> {
  try {
    return fromBase64(payload);
  } catch {
    throw new ChorusError('bad-message', 'what a server gave for a manifest is not base64');
  }
}
