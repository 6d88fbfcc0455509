import type { RequestHandler } from 'express';

/**
 * Pages of any origin may ask, as any program may: there are no cookies or keys here that a foreign page could use, and
 * without a preflight a browser sends no JSON.
 */
export const allowEveryOrigin: RequestHandler = (request, response, next) => {
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-expose-headers', 'x-request-id, retry-after');
  response.setHeader('cross-origin-resource-policy', 'cross-origin');
  if (request.method !== 'OPTIONS') {
    next();
    return;
  }
  response.setHeader('access-control-allow-methods', 'GET, POST');
  // A list, since `*` would not cover `authorization`, which OpenAI's clients always send.
  response.setHeader('access-control-allow-headers', request.headers['access-control-request-headers'] ?? '*');
  response.setHeader('access-control-max-age', '86400');
  response.status(204).end();
};
