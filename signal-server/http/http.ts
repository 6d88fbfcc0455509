import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import compression from 'compression';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import { digestSchema } from '#shared/ids.ts';
import type { NetworkSnapshot } from '#shared/wire/network-snapshot.ts';
import { clientAddress, clientOf } from '../gate/address.ts';
import { WOULD_BE_TAKEN, type SocketRefusal } from '../gate/socket-refusal.ts';
import type { Config } from '../machine/config.ts';
import type { ModelCatalog } from '../placement/model-catalog.ts';
import type { Metrics } from '../view/metrics.ts';
import { allowEveryOrigin } from './allow-every-origin.ts';
import { answerWith, ApiError, toApiError } from './api-error.ts';
import { limitBytes } from './byte-budget.ts';
import { apiHeaders, isApiPath, unknownUrl } from './api-paths.ts';
import { createHealthRouter, type HealthDeps } from './health.ts';
import { listModels } from './list-models.ts';
import { sendSnapshot } from './send-snapshot.ts';

const FOREVER = 'public, max-age=31536000, immutable';

export interface HttpDeps extends Pick<HealthDeps, 'noAnswers' | 'noReceipts'> {
  readonly config: Pick<Config, 'webFolder' | 'trustProxy' | 'limits' | 'publicUrl'>;
  readonly blobsPath: string;
  readonly catalog: ModelCatalog;
  /** The server's raw public key. */
  readonly operatorKey: Uint8Array;
  readonly snapshot: () => NetworkSnapshot;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Serves everything under /v1; null until there is a gateway. */
  readonly gateway: () => RequestHandler | null;
  /** Called with each request. */
  readonly onRequest: (request: IncomingMessage) => void;
  /** Why a control socket that came like this request would not be taken; null if it would be. */
  readonly socketRefusal: (request: IncomingMessage) => Promise<SocketRefusal | null>;
  /** Mounted at /log; left out where there is no log. */
  readonly log?: RequestHandler;
  /** Mounted at the root; left out where there is no log. */
  readonly receipts?: RequestHandler;
  /** Mounted at the root: what only the server's user may ask for. */
  readonly own?: RequestHandler;
  readonly onError: (error: unknown) => void;
}

/** Everything the server answers over plain HTTP. */
export function createHttpApp(deps: HttpDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use((request, _response, next) => {
    deps.onRequest(request);
    next();
  });
  app.use(securityHeaders(deps.config.publicUrl?.startsWith('https:') ?? false));
  // Before the limit: a page can read no refusal without these headers, and none of a preflight at all.
  app.use(apiHeaders(deps.random));
  app.use(createHealthRouter(deps));
  app.use(rateLimit(deps.config));
  app.use(limitBytes({ clock: deps.clock, config: deps.config, refuse: refuseTooMany }));
  app.use(compressText());

  app.get('/metrics', async (_request, response) => {
    response
      .set('Cache-Control', 'no-store')
      .type(deps.metrics.contentType)
      .send(await deps.metrics.text());
  });
  app.get('/api/network', sendSnapshot(deps.snapshot));
  // Pages of other servers repeat answers with what is here; digests say what that is.
  app.use(['/api/models/:digest', '/blobs'], allowEveryOrigin);
  app.get('/api/models', (_request, response) => {
    response.set('Cache-Control', 'no-cache').json(listModels(deps.catalog.entries, deps.operatorKey));
  });
  app.get('/api/models/:digest', (request, response) => {
    const digest = digestSchema.safeParse(request.params.digest);
    const entry = digest.success ? deps.catalog.get(digest.data) : undefined;
    if (entry === undefined) return sendError(response, 404, 'unknown-model', 'this server has no such model');
    response.set({ 'Cache-Control': FOREVER, ETag: `"${entry.digest}"` }).json(entry.envelope);
  });
  // Browsers hide how a socket was refused, so pages ask here.
  app.all('/control', async (request, response) => {
    const refusal = await deps.socketRefusal(request);
    const { status, code, message } = refusal ?? WOULD_BE_TAKEN;
    response.set({ 'Cache-Control': 'no-store', Upgrade: 'websocket' });
    sendError(response, Number.parseInt(status, 10), code, message);
  });
  app.get('/blobs/:digest', serveBlob(deps.blobsPath));
  if (deps.log) app.use('/log', deps.log);
  if (deps.receipts) app.use(deps.receipts);
  if (deps.own) app.use(deps.own);
  app.use('/v1', (request, response, next) => {
    const gateway = deps.gateway();
    if (gateway === null) answerWith(response, toApiError(new ChorusError('server-lost', 'the API is still starting')));
    else gateway(request, response, next);
  });
  if (deps.config.webFolder !== null) app.use(servePage(deps.config.webFolder));
  else
    app.get('/', (_request, response) =>
      sendError(response, 404, 'not-found', 'the page is not built: run npm run build'),
    );
  app.use((request, response) => {
    if (isApiPath(request.path)) answerWith(response, unknownUrl(request.method, request.path));
    else sendError(response, 404, 'not-found', 'there is nothing here');
  });
  app.use(answerFailure(deps.onError));
  return app;
}

/**
 * Isolation, so that workers get exact timers and shared memory; a policy that lets the page load only its own code.
 * No HSTS unless the operator says that the server is reached over https. Nor an order to fetch the page's files over it:
 * they come the way the page came, and who reaches the server over http, as on a local network, finds no https there.
 */
function securityHeaders(isHttps: boolean): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        scriptSrc: ["'self'", "'wasm-unsafe-eval'"],
        workerSrc: ["'self'", 'blob:'],
        // Weights of a model that this server does not have are read from another that the reader names.
        connectSrc: ["'self'", 'ws:', 'wss:', 'https:', 'blob:'],
        imgSrc: ["'self'", 'data:', 'blob:'],
        styleSrc: ["'self'", "'unsafe-inline'"],
        objectSrc: ["'none'"],
        baseUri: ["'self'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    crossOriginEmbedderPolicy: { policy: 'require-corp' },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    strictTransportSecurity: isHttps,
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
  });
}

/**
 * Compresses the page and JSON. Not what comes piece by piece (the API), in ranges, or is of hashes and weights (tiles,
 * blobs), and not the page's WebAssembly: its many megabytes would be compressed anew for everybody.
 */
function compressText(): RequestHandler {
  const compress = compression({
    filter: (request, response) =>
      !response.hasHeader('Content-Range') &&
      !/^(?:application\/wasm|text\/event-stream)/.test(String(response.getHeader('Content-Type'))) &&
      compression.filter(request, response),
  });
  return (request, response, next) => {
    if (/^\/(?:v1|blobs|log)(?:\/|$)/i.test(request.path)) next();
    else compress(request, response, next);
  };
}

function rateLimit({ limits, trustProxy }: HttpDeps['config']): RequestHandler {
  const limiter = new RateLimiterMemory({ points: limits.httpRequestsPerMinute, duration: 60 });
  return (request, response, next) => {
    limiter.consume(clientOf(clientAddress(request, trustProxy))).then(
      () => next(),
      () => refuseTooMany(request, response, next),
    );
  };
}

const refuseTooMany: RequestHandler = (request, response) => {
  const message = 'too many requests from this address';
  if (isApiPath(request.path)) {
    const details = { type: 'rate_limit_error', retryAfterSeconds: 60 };
    answerWith(response, new ApiError(429, 'rate_limit_exceeded', message, details));
    return;
  }
  response.set('Retry-After', '60');
  sendError(response, 429, 'rate-limited', message);
};

/** Blobs are named by their content, so they never change. The name is checked, so no path leads out of the folder. */
function serveBlob(blobsPath: string): RequestHandler<{ digest: string }> {
  return (request, response, next) => {
    const digest = digestSchema.safeParse(request.params.digest);
    if (!digest.success) return sendError(response, 404, 'not-found', 'not a blob name');
    response.set({
      'Cache-Control': FOREVER,
      ETag: `"${digest.data}"`,
      'Content-Type': 'application/octet-stream',
    });
    response.sendFile(
      digest.data,
      { root: blobsPath, cacheControl: false, lastModified: false, dotfiles: 'deny' },
      (error) => {
        if (!error || response.headersSent || isLeft(response)) return;
        response.removeHeader('ETag');
        response.removeHeader('Cache-Control');
        if (isFileAbsent(error)) sendError(response, 404, 'not-found', 'this server has no such blob');
        else next(error);
      },
    );
  };
}

/** The built page. Files under /assets carry their content's hash in their name. */
function servePage(webFolder: string): RequestHandler {
  const assets = join(webFolder, 'assets');
  return express.static(webFolder, {
    cacheControl: false,
    setHeaders(response, path) {
      response.setHeader('Cache-Control', path.startsWith(assets) ? FOREVER : 'no-cache');
    },
  });
}

function answerFailure(onError: (error: unknown) => void): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (error: unknown, request, response, _next) => {
    // Whoever left hears nothing, and what became of the rest of an answer is no fault of ours.
    if (isLeft(response)) return;
    if (response.headersSent) {
      onError(error);
      return void response.destroy();
    }
    if (isApiPath(request.path)) {
      const refusal = toApiError(error);
      if (refusal.status === 500) onError(error);
      return answerWith(response, refusal);
    }
    const status = statusOf(error);
    if (status >= 500) onError(error);
    if (status === 416) response.removeHeader('Cache-Control');
    sendError(
      response,
      status,
      status >= 500 ? 'internal' : 'bad-message',
      status >= 500 ? 'the server failed' : 'the request is malformed',
    );
  };
}

function sendError(response: Parameters<RequestHandler>[1], status: number, code: string, message: string): void {
  response.status(status).json({ error: { code, message } });
}

/** True once the connection is gone. */
function isLeft(response: Parameters<RequestHandler>[1]): boolean {
  return response.destroyed || response.socket?.destroyed === true;
}

function statusOf(error: unknown): number {
  const status = typeof error === 'object' && error !== null && 'status' in error ? error.status : undefined;
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500;
}

function isFileAbsent(error: Error): boolean {
  return statusOf(error) === 404;
}
