import express, { type Router } from 'express';
import { parseTilePath, TILE_WIDTH } from '#shared/log/tile-path.ts';
import type { LogService } from './log-service.ts';

const FOREVER = 'public, max-age=31536000, immutable';
const BRIEFLY = 'public, max-age=2';

/** The files of a log that strangers read (C2SP tlog-tiles), and its verifier key. To be mounted at the log's prefix. */
export function createLogRouter(log: Pick<LogService, 'checkpoint' | 'tile' | 'verifierKey'>): Router {
  const router = express.Router();
  router.use((_request, response, next) => {
    response.set({ 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' });
    next();
  });
  router.get('/checkpoint', (_request, response) => {
    response.set('Cache-Control', BRIEFLY).type('text/plain; charset=utf-8').send(log.checkpoint);
  });
  router.get('/vkey', (_request, response) => {
    response.set('Cache-Control', BRIEFLY).type('text/plain; charset=utf-8').send(`${log.verifierKey}\n`);
  });
  router.get('/tile/*path', async (request, response) => {
    const tile = parseTilePath(request.path.slice(1));
    const bytes = tile === null ? null : await log.tile(tile);
    if (tile === null || bytes === null) {
      response.status(404).json({ error: { code: 'not-found', message: 'the log has no such tile' } });
      return;
    }
    // Only what is acknowledged is shown, so unfinished tiles do not change either; but nobody needs them for long.
    response.set('Cache-Control', tile.width === TILE_WIDTH ? FOREVER : 'public, max-age=3600');
    response.type('application/octet-stream').send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  });
  return router;
}
