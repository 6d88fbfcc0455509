import express, { type NextFunction, type Request, type Response, type Router } from 'express';
import type { Logger } from 'pino';
import { toHex } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import { allowEveryOrigin } from '../http/allow-every-origin.ts';
import { ApiError, answerWith, toApiError } from '../http/api-error.ts';
import type { RequesterPool } from '../node-peer/requester-pool.ts';
import type { GiveReceipt } from './answer-receipt.ts';
import { type AnswerRequest, parseChatRequest, parseCompletionRequest } from './answer-request.ts';
import { type ResponseHead, type ResponseShape, chatShape, completionShape } from './answer-response.ts';
import { createEventStream, type EventStream } from './event-stream.ts';
import type { GatewayModel, GatewayModels } from './gateway-models.ts';
import { planAnswer, runAnswer, type AnswerDeps, type AnswerPart } from './run-answer.ts';

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
  readonly limits?: Partial<GatewayLimits>;
}

export interface GatewayLimits {
  readonly maxBodyBytes: number;
  /** One request from its arrival to its last byte, queue included. */
  readonly answerTimeoutMs: number;
}

/** The body of a full context of the largest model is well below; the time is what OpenAI's clients wait by default. */
const defaultLimits: GatewayLimits = { maxBodyBytes: 2 * 1024 * 1024, answerTimeoutMs: 10 * 60_000 };

interface Endpoint {
  readonly idPrefix: string;
  readonly parse: (body: unknown) => AnswerRequest;
  readonly shape: (head: ResponseHead) => ResponseShape;
}

const chatEndpoint: Endpoint = { idPrefix: 'chatcmpl-', parse: parseChatRequest, shape: chatShape };
const completionEndpoint: Endpoint = { idPrefix: 'cmpl-', parse: parseCompletionRequest, shape: completionShape };

/** The OpenAI API under `/v1`: any client of it can ask this network. Anyone may ask; an API key is not looked at. */
export function createGateway(deps: GatewayDeps): Router {
  const limits = { ...defaultLimits, ...deps.limits };
  const router = express.Router();
  router.use(allowEveryOrigin);
  router.use(express.json({ limit: limits.maxBodyBytes }));

  router.get('/models', (_request, response) => {
    response.json({ object: 'list', data: deps.models.list().map(toApiModel) });
  });
  router.get('/models/:id', (request, response) => {
    const model = deps.models.list().find(({ name }) => name === request.params.id);
    if (!model) throw unknownModel(request.params.id);
    response.json(toApiModel(model));
  });
  router.post('/chat/completions', (request, response) => answer(chatEndpoint, request, response));
  router.post('/completions', (request, response) => answer(completionEndpoint, request, response));
  router.use((request) => {
    const url = `${request.method} ${request.baseUrl}${request.path}`;
    throw new ApiError(404, 'unknown_url', `Unknown request URL: ${url}.`);
  });
  router.use(sendError);
  return router;

  async function answer(endpoint: Endpoint, httpRequest: Request, response: Response): Promise<void> {
    const id = endpoint.idPrefix + toHex(deps.random(12));
    response.setHeader('x-request-id', id);
    const request = endpoint.parse(httpRequest.body);
    const model = await deps.models.open(request.model);
    if (!model) throw unknownModel(request.model);
    // A model's text may take a while to load; who left meanwhile is not told of again.
    if (response.destroyed) return;
    const { temperature, topP, seed } = request.sampling;
    const plan = { ...planAnswer(model, request), temperature, topP, seed: seed ?? randomSeed(deps.random) };
    const shape = endpoint.shape({
      id,
      createdSeconds: Math.floor(deps.clock.wallMs() / 1000),
      model: model.name,
      fingerprint: `chorus_${model.digest.slice(0, 12)}`,
      includeUsage: request.includeUsage,
    });

    const aborter = new AbortController();
    const takeBack = deps.clock.setTimer(() => {
      aborter.abort(new ChorusError('timeout', `no whole answer within ${limits.answerTimeoutMs / 1000} s`));
    }, limits.answerTimeoutMs);
    response.once('close', () => aborter.abort(new ChorusError('cancelled', 'the client left')));
    try {
      const parts = runAnswer(deps, model, request, plan, aborter.signal);
      if (request.stream) {
        const stream = createEventStream(response, deps.clock, aborter.signal);
        await streamAnswer(parts, shape, request.includeUsage, stream);
      } else response.json(await wholeAnswer(parts, shape));
    } catch (error) {
      throw aborter.signal.aborted ? aborter.signal.reason : error;
    } finally {
      takeBack();
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

async function wholeAnswer(parts: AsyncIterable<AnswerPart>, shape: ResponseShape): Promise<unknown> {
  let text = '';
  for await (const part of parts) {
    if (part.type === 'text') text += part.text;
    if (part.type === 'end') return shape.whole(text, part);
  }
  throw new ChorusError('internal', 'an answer ended without saying why');
}

async function streamAnswer(
  parts: AsyncIterable<AnswerPart>,
  shape: ResponseShape,
  includeUsage: boolean,
  stream: EventStream,
): Promise<void> {
  let isFirst = true;
  const sendFirst = async () => {
    const first = isFirst ? shape.first() : null;
    isFirst = false;
    if (first !== null) await stream.send(first);
  };
  for await (const part of parts) {
    switch (part.type) {
      case 'notice':
        stream.comment(part.text);
        break;
      case 'text':
        await sendFirst();
        await stream.send(shape.piece(part.text));
        break;
      case 'end':
        await sendFirst();
        await stream.send(shape.last(part));
        if (includeUsage) await stream.send(shape.usage(part.usage));
        stream.end();
    }
  }
}

function toApiModel(model: Pick<GatewayModel, 'name' | 'createdSeconds'>) {
  return { id: model.name, object: 'model', created: model.createdSeconds, owned_by: 'chorus' };
}

function unknownModel(name: string): ApiError {
  const message = `The model '${name.slice(0, 200)}' does not exist or this network does not serve it.`;
  return new ApiError(404, 'model_not_found', message, { param: 'model' });
}

/** 32 random bits, as many as people type. */
function randomSeed(random: RandomBytes): number {
  return new DataView(random(4).buffer).getUint32(0);
}
