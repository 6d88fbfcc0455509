import express, { type ErrorRequestHandler, type RequestHandler, type Response, type Router } from 'express';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { z } from 'zod';
import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import { digestSchema } from '#shared/ids.ts';
import { MAX_LISTED_RECEIPTS } from '#shared/limits.ts';
import { receiptQuerySchema } from '#shared/wire/receipt-list.ts';
import { clientAddress, clientOf } from '../gate/address.ts';
import { ApiError } from '../http/api-error.ts';
import { readJson } from '../http/read-json.ts';
import type { Config } from '../machine/config.ts';
import { isTold } from '../machine/storage-state.ts';
import { MAX_RECEIPT_BYTES, type ReceiptDesk } from './receipt-desk.ts';
import type { ReceiptFinder } from './receipt-finder.ts';

/** How long the bringer of a receipt waits for witnesses to cosign it. */
const COSIGNATURE_WAIT_MS = 2_000;
const QUERY_FORM =
  `a list is asked for by before (an entry), limit (up to ${MAX_LISTED_RECEIPTS}), model (a digest), tier, and from and to ` +
  '(times as 2026-03-01T00:00:00Z, the first before the second)';
const postSchema = z.object({ envelope: z.unknown() });

const STATUS: Partial<Record<ErrorCode, number>> = {
  'bad-message': 400,
  'too-large': 413,
  'rate-limited': 429,
  cancelled: 503,
  internal: 503,
};

export interface ReceiptRouterDeps {
  readonly desk: Pick<ReceiptDesk, 'accept' | 'read' | 'status'>;
  readonly finder: Pick<ReceiptFinder, 'find'>;
  readonly config: Pick<Config, 'trustProxy'> & { readonly limits: Pick<Config['limits'], 'receiptPostsPerMinute'> };
  /** A receipt was refused before the desk saw it, with this code. */
  readonly onRefused: (reason: string) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * The routes of receipts and of the log: `POST` and `GET /api/receipts`, `GET /api/log`, and, in the form of the
 * OpenAI API, `GET /v1/receipts/<id>`. To be mounted at the root.
 */
export function createReceiptRouter({ desk, finder, config, onRefused, onError }: ReceiptRouterDeps): Router {
  const router = express.Router();
  // JSON spends a few bytes on the rest of an envelope.
  const readBody = readJson(MAX_RECEIPT_BYTES + 4096);
  router.post('/api/receipts', limitPosts(config, onRefused), readBody, async (request, response) => {
    const body = postSchema.safeParse(request.body);
    if (!body.success) throw new ChorusError('bad-message', 'expected {"envelope": …} as application/json');
    const file = await desk.accept(body.data.envelope, COSIGNATURE_WAIT_MS);
    response.set('Cache-Control', 'no-store').json(file);
  });
  router.get('/api/receipts', async (request, response) => {
    const query = receiptQuerySchema.safeParse(request.query);
    if (!query.success) throw new ChorusError('bad-message', `${QUERY_FORM}: ${faultIn(query.error)} is wrong`);
    response.set('Cache-Control', 'no-store').json(await finder.find(query.data));
  });
  router.get('/api/log', (_request, response) => {
    response.set('Cache-Control', 'no-store').json(desk.status);
  });
  router.get('/v1/receipts/:id', async (request, response) => {
    response.set({ 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' });
    const id = digestSchema.safeParse(request.params.id);
    const found = id.success ? await desk.read(id.data) : null;
    // Its proof grows newer, and gets cosignatures.
    if (found?.file) response.set('Cache-Control', 'no-cache').json(found.file);
    else sendAbsent(response, found?.index ?? null);
  });
  router.use('/api', answerRefusal(onError));
  return router;
}

function faultIn({ issues: [issue] }: z.ZodError): string {
  return issue?.code === 'unrecognized_keys' ? issue.keys.join(', ').slice(0, 80) : String(issue?.path[0]);
}

function sendAbsent(response: Response, index: number | null): void {
  const message =
    index === null
      ? 'This server has no such receipt.'
      : `This server no longer keeps that receipt. It is entry ${index} of its log.`;
  const { status, body } = new ApiError(404, 'receipt_not_found', message, { param: 'id' });
  response.status(status).json(body);
}

function limitPosts({ limits, trustProxy }: ReceiptRouterDeps['config'], onRefused: (reason: string) => void) {
  const limiter = new RateLimiterMemory({ points: limits.receiptPostsPerMinute, duration: 60 });
  const handler: RequestHandler = (request, _response, next) => {
    limiter.consume(clientOf(clientAddress(request, trustProxy))).then(
      () => next(),
      () => {
        onRefused('rate-limited');
        next(new ChorusError('rate-limited', 'too many receipts from this address: wait a minute'));
      },
    );
  };
  return handler;
}

/** Refusals in the form of the other routes under /api; other errors go on. A failure of ours is told to `onError` alone. */
function answerRefusal(onError: (error: unknown) => void): ErrorRequestHandler {
  return (thrown: unknown, _request, response, next) => {
    const isTooLarge = typeof thrown === 'object' && thrown !== null && 'status' in thrown && thrown.status === 413;
    const tooLarge = `the receipt is too large; at most ${MAX_RECEIPT_BYTES} bytes are allowed`;
    const error = isTooLarge ? new ChorusError('too-large', tooLarge) : thrown;
    if (!(error instanceof ChorusError) || response.headersSent) {
      next(thrown);
      return;
    }
    const status = STATUS[error.code] ?? 500;
    // The system's words on files are not for everybody; a doubt is, and was told when it arose.
    const isOurs = status === 500 || (error.code === 'internal' && !isTold(error));
    if (isOurs) onError(error);
    const message = isOurs ? 'something failed on the server' : error.message;
    if (status === 429) response.set('Retry-After', '60');
    const { check } = error.details;
    const more = typeof check === 'string' ? { check } : {};
    response.status(status).json({ error: { code: error.code, message: message.slice(0, 1000), ...more } });
  };
}
