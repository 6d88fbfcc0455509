import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import type { Logger } from 'pino';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import { clientAddress, clientOf } from '../gate/address.ts';
import { answerWith, ApiError, toApiError } from '../http/api-error.ts';
import { unknownUrl } from '../http/api-paths.ts';
import { readJson } from '../http/read-json.ts';
import type { RequesterPool } from '../node-peer/requester-pool.ts';
import { planAnswer, type Plan } from './answer-plan.ts';
import type { GiveReceipt } from './answer-receipt.ts';
import { type AnswerRequest, parseChatRequest, parseCompletionRequest } from './answer-request.ts';
import { type ResponseHead, type ResponseShape, chatShape, completionShape } from './answer-response.ts';
import { AnswerTurns } from './answer-turns.ts';
import { createEventStream } from './event-stream.ts';
import type { GatewayModel, GatewayModels } from './gateway-models.ts';
import { merge } from './merge-answers.ts';
import { runAnswer, type AnswerDeps, type AnswerPart } from './run-answer.ts';
import { streamAnswers, wholeAnswers } from './send-answers.ts';

export interface GatewayDeps extends Pick<AnswerDeps, 'onAnswer'> {
  /** One for each answer. */
  readonly requesters: Pick<RequesterPool, 'take'>;
  readonly models: GatewayModels;
  /** Null where receipts are not kept: answers then say nothing of them. */
  readonly giveReceipt: GiveReceipt | null;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Gets codes and counts, never prompts or answers. */
  readonly log: Pick<Logger, 'error' | 'info'>;
  /** As of `clientAddress`. */
  readonly trustProxy: boolean;
  readonly limits?: Partial<GatewayLimits>;
}

export interface GatewayLimits {
  readonly maxBodyBytes: number;
  /** Of all requests of one address: each byte has to be parsed, and each prompt read. */
  readonly bodyBytesPerMinute: number;
  /** One request from its arrival to its last byte, waits included. */
  readonly answerTimeoutMs: number;
  /** How long an answer waits for its turn and for volunteers. */
  readonly waitMs: number;
  /** Answers that are made at once, for all clients. */
  readonly answers: number;
}

export interface Gateway {
  /** To be mounted at /v1, behind `apiHeaders`. */
  readonly router: RequestHandler;
  /** Ends all answers with an error that says that the server is stopping. */
  stop(): void;
}

/** The body of a full context of the largest model is well below; the time is what OpenAI's clients wait by default. */
const defaultLimits: GatewayLimits = {
  maxBodyBytes: 2 * 1024 * 1024,
  bodyBytesPerMinute: 16 * 1024 * 1024,
  answerTimeoutMs: 10 * 60_000,
  waitMs: 60_000,
  answers: 32,
};
/** Answers of one request that are made at once. */
const AT_ONCE = 4;

interface Endpoint {
  readonly idPrefix: string;
  readonly parse: (body: unknown) => AnswerRequest;
  readonly shape: (head: ResponseHead) => ResponseShape;
}

const chatEndpoint: Endpoint = { idPrefix: 'chatcmpl-', parse: parseChatRequest, shape: chatShape };
const completionEndpoint: Endpoint = { idPrefix: 'cmpl-', parse: parseCompletionRequest, shape: completionShape };

/** The OpenAI API: any client of it can ask this network. Anyone may ask; an API key is not looked at. */
export function createGateway(deps: GatewayDeps): Gateway {
  const { clock, random, models } = deps;
  const limits = { ...defaultLimits, ...deps.limits };
  const turns = new AnswerTurns({ clock, answers: limits.answers, waitMs: limits.waitMs });
  const running = new Set<AbortController>();
  let isStopped = false;
  const router = express.Router();
  router.use(limitBodies(limits, deps.trustProxy));
  router.use(readJson(limits.maxBodyBytes));

  router.get('/models', (_request, response) => {
    response.json({ object: 'list', data: models.list().map(toApiModel) });
  });
  router.get('/models/:id', (request, response) => {
    const model = models.list().find(({ name }) => name === request.params.id);
    if (!model) throw unknownModel(request.params.id);
    response.json(toApiModel(model));
  });
  router.post('/chat/completions', (request, response) => answer(chatEndpoint, request, response));
  router.post('/completions', (request, response) => answer(completionEndpoint, request, response));
  router.all(['/models', '/models/:id'], takesOnly('GET'));
  router.all(['/chat/completions', '/completions'], takesOnly('POST'));
  router.use(({ method, baseUrl, path }) => {
    throw unknownUrl(method, baseUrl + path);
  });
  router.use(sendError);
  return {
    router,
    stop() {
      isStopped = true;
      for (const aborter of running) aborter.abort(stopping());
    },
  };

  async function answer(endpoint: Endpoint, httpRequest: Request, response: Response): Promise<void> {
    const id = endpoint.idPrefix + toHex(random(12));
    response.setHeader('x-request-id', id);
    const request = endpoint.parse(httpRequest.body);
    const aborter = new AbortController();
    const { signal } = aborter;
    const takeBack = clock.setTimer(() => {
      aborter.abort(new ChorusError('timeout', `no whole answer within ${limits.answerTimeoutMs / 1000} s`));
    }, limits.answerTimeoutMs);
    response.once('close', () => aborter.abort(new ChorusError('cancelled', 'the client left')));
    running.add(aborter);
    try {
      if (isStopped) throw stopping();
      const model = await models.open(request.model);
      if (!model) throw unknownModel(request.model);
      const client = clientOf(clientAddress(httpRequest, deps.trustProxy));
      const plans = await turns.read(client, signal, () => planAll(model, request));
      signal.throwIfAborted();
      const { temperature, topP, seed } = request.sampling;
      const sampling = { temperature, topP, seed: seed ?? randomSeed(random) };
      const shape = endpoint.shape({
        id,
        createdSeconds: Math.floor(clock.wallMs() / 1000),
        model: model.name,
        fingerprint: `chorus_${model.digest.slice(0, 12)}`,
        includeUsage: request.includeUsage,
      });
      // One of several that fails ends the others.
      const failing = new AbortController();
      const either = AbortSignal.any([signal, failing.signal]);
      const answers = plans.map((plan) => answerInTurn(client, model, request, { ...plan, ...sampling }, either));
      const parts = merge(answers, AT_ONCE, () => failing.abort(new ChorusError('cancelled', 'another answer failed')));
      if (request.stream) {
        const stream = createEventStream(response, clock, signal);
        await streamAnswers(parts, plans.length, shape, request.includeUsage, stream);
      } else response.json(await wholeAnswers(parts, plans.length, shape));
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      takeBack();
      running.delete(aborter);
    }
  }

  async function* answerInTurn(
    client: string,
    model: GatewayModel,
    request: AnswerRequest,
    plan: Plan & { temperature: number; topP: number; seed: number },
    signal: AbortSignal,
  ): AsyncGenerator<AnswerPart, void, undefined> {
    const turn = await turns.enter(client, model.digest, signal);
    try {
      yield* runAnswer(deps, model, request, plan, turn.signal, () => turn.routed());
    } catch (error) {
      throw turn.signal.aborted ? turn.signal.reason : error;
    } finally {
      turn.leave();
    }
  }

  // Express knows an error handler by its four parameters.
  function sendError(thrown: unknown, request: Request, response: Response, _next: NextFunction): void {
    const error = toApiError(thrown);
    if (error.status === 500) deps.log.error({ path: request.path, err: thrown }, 'gateway: request failed');
    if (response.destroyed) return;
    if (response.headersSent) {
      response.end(`data: ${JSON.stringify(error.body)}\n\n`);
      return;
    }
    answerWith(response, error);
  }
}

/** How many times as long a compressed body is taken to be. */
const UNPACKED = 10;

/** Spends an address's share before a body is read. One that does not say how long it is counts as the longest. */
function limitBodies({ maxBodyBytes, bodyBytesPerMinute }: GatewayLimits, trustProxy: boolean): RequestHandler {
  const limiter = new RateLimiterMemory({ points: bodyBytesPerMinute, duration: 60 });
  return (request, _response, next) => {
    const { 'content-length': length, 'transfer-encoding': transfer, 'content-encoding': packed } = request.headers;
    const sent = Number(length ?? (transfer === undefined ? 0 : maxBodyBytes));
    const bytes = packed === undefined ? sent : Math.min(maxBodyBytes, UNPACKED * sent);
    // One that is too long is refused unread, and one that is malformed by what reads it.
    if (!(bytes > 0 && bytes <= maxBodyBytes)) return next();
    limiter.consume(clientOf(clientAddress(request, trustProxy)), bytes).then(
      () => next(),
      () => {
        const message = 'This network address has sent too much in a minute.';
        next(new ApiError(429, 'rate_limit_exceeded', message, { type: 'rate_limit_error', retryAfterSeconds: 60 }));
      },
    );
  };
}

async function planAll(model: GatewayModel, { prompts, length }: AnswerRequest): Promise<Plan[]> {
  const plans: Plan[] = [];
  for (const prompt of prompts) plans.push(await planAnswer(model, prompt, length));
  return plans;
}

function takesOnly(allow: 'GET' | 'POST'): RequestHandler {
  return ({ method, baseUrl, path }) => {
    const message = `${baseUrl}${path} takes ${allow}, not ${method}.`;
    throw new ApiError(405, 'method_not_allowed', message, { allow });
  };
}

function stopping(): ChorusError {
  return new ChorusError('server-lost', 'The server is stopping. Ask again in a while.');
}

function toApiModel({ name, createdSeconds, manifest }: ReturnType<GatewayModels['list']>[number]) {
  const { config, pins } = manifest;
  return {
    ...{ id: name, object: 'model', created: createdSeconds, owned_by: 'chorus' },
    ...{ context_length: config.maxPositions, quantization: pins.quantization },
  };
}

function unknownModel(name: string): ApiError {
  const message = `The model '${name.slice(0, 200)}' does not exist or this network does not serve it.`;
  return new ApiError(404, 'model_not_found', message, { param: 'model' });
}

/** 32 random bits, as many as people type. */
function randomSeed(random: RandomBytes): number {
  return new DataView(random(4).buffer).getUint32(0);
}
