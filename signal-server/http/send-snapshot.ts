import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { RequestHandler } from 'express';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';

const compress = promisify(gzip);

interface Body {
  readonly snapshot: NetworkSnapshot;
  readonly plain: Buffer;
  /** Made for the first who reads it, and once. */
  compressed: Promise<Buffer> | null;
}

/** Answers with the network's state, which is written and compressed once for all who ask for the same. */
export function sendSnapshot(snapshotNow: () => NetworkSnapshot): RequestHandler {
  let body: Body | null = null;
  return async (request, response) => {
    const snapshot = snapshotNow();
    if (body?.snapshot !== snapshot) {
      body = { snapshot, plain: Buffer.from(JSON.stringify(snapshot)), compressed: null };
    }
    // An ETag of its own spares a digest of the whole for each request; nobody keeps the answer.
    const etag = `W/"${snapshot.serverTimeMs}"`;
    response.set({ 'Cache-Control': 'no-store', ETag: etag, Vary: 'Accept-Encoding' });
    // Express would answer in full: `fetch` of Node calls a question with a tag a reload.
    if (request.headers['if-none-match'] === etag) return void response.status(304).end();
    response.type('json');
    if (request.acceptsEncodings('gzip') !== 'gzip') return void response.send(body.plain);
    body.compressed ??= compress(body.plain, { level: 1 });
    response.set('Content-Encoding', 'gzip').send(await body.compressed);
  };
}
