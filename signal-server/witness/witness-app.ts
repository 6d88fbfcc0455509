import express, { type ErrorRequestHandler, type Express } from 'express';
import { digestSchema } from '#shared/ids.ts';
import type { Witness } from './witness.ts';

/** A note of 64 KiB and the longest proof. */
const MAX_BODY_BYTES = 72 * 1024;

/** The HTTP interface of a witness (C2SP tlog-witness); both its prefixes are the root. */
export function createWitnessApp(witness: Witness, onError: (error: unknown) => void): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', false);
  app.use((_request, response, next) => {
    response.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
    next();
  });
  app
    .route('/add-checkpoint')
    .post(express.raw({ type: () => true, limit: MAX_BODY_BYTES }), async (request, response) => {
      const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
      const answer = await witness.addCheckpoint(decode(body));
      if (answer.status === 200) {
        response.type('text/plain; charset=utf-8').send(answer.cosignature);
      } else if (answer.size !== undefined) {
        // Not `set`, which adds a charset where the specification has none.
        response.status(answer.status).setHeader('Content-Type', 'text/x.tlog.size');
        response.end(`${answer.size}\n`);
      } else {
        response.status(answer.status).type('text/plain; charset=utf-8').send(`${answer.reason}\n`);
      }
    })
    .all((_request, response) => response.status(405).set('Allow', 'POST').end());
  app.get('/:origin/checkpoint', (request, response) => {
    const origin = digestSchema.safeParse(request.params.origin);
    const note = origin.success ? witness.newest(origin.data) : null;
    if (note === null) return response.status(404).end();
    return response.set('Access-Control-Allow-Origin', '*').type('text/plain; charset=utf-8').send(note);
  });
  app.use((_request, response) => response.status(404).end());
  app.use(answerFailure(onError));
  return app;
}

/** The text of a body; bytes that are not UTF-8 become one that no request looks like. */
function decode(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return '';
  }
}

function answerFailure(onError: (error: unknown) => void): ErrorRequestHandler {
  return (error: unknown, _request, response, next) => {
    if (response.headersSent) return next(error);
    const status = typeof error === 'object' && error !== null && 'status' in error ? Number(error.status) : 500;
    const isTheirs = status >= 400 && status < 500;
    if (!isTheirs) onError(error);
    return response.status(isTheirs ? status : 500).end();
  };
}
