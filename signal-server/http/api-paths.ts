import type { RequestHandler } from 'express';
import { toHex } from '#shared/bytes.ts';
import type { RandomBytes } from '#shared/clock.ts';
import { allowEveryOrigin } from './allow-every-origin.ts';
import { ApiError } from './api-error.ts';

const SERVED =
  'This server answers POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /v1/models/NAME and GET /v1/receipts/ID.';
/** Endpoints of the OpenAI API at the end of a path that is not under /v1, as clients with another base URL ask for them. */
const ASTRAY = /^(?!\/api\/models)[/\w.-]*\/(?:chat\/+completions|completions|responses|embeddings|models)\/?$/i;
const ENDPOINT = /(?:^|\/)(chat\/+completions|completions|models(?:\/+[^/]+)?)\/?$/i;

/** True for what is under the API, and for what was meant to be. */
export function isApiPath(path: string): boolean {
  return /^\/+v1(?:\/|$)/i.test(path) || ASTRAY.test(path);
}

/** The refusal of a path that has nothing behind it, with what is there instead. */
export function unknownUrl(method: string, path: string): ApiError {
  const endpoint = ENDPOINT.exec(path)?.[1]?.replaceAll(/\/+/g, '/');
  const meant = endpoint === undefined ? undefined : `/v1/${endpoint}`;
  const hint = meant === undefined || meant === path ? SERVED : `Did you mean ${meant}? ${SERVED}`;
  return new ApiError(404, 'unknown_url', `Unknown request URL: ${method} ${path.slice(0, 200)}. ${hint}`);
}

/** The headers of every response of the API, refusals too. An answer's own id takes the place of this one. */
export function apiHeaders(random: RandomBytes): RequestHandler {
  return (request, response, next) => {
    if (!isApiPath(request.path)) return next();
    response.setHeader('x-request-id', `req_${toHex(random(12))}`);
    allowEveryOrigin(request, response, next);
  };
}
