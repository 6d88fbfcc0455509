import express, { type RequestHandler, type Router } from 'express';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { clientAddress, clientOf } from '../gate/address.ts';
import type { Config } from '../machine/config.ts';

export interface HealthDeps {
  readonly config: Pick<Config, 'trustProxy'> & { readonly limits: Pick<Config['limits'], 'healthChecksPerMinute'> };
  /** Why a question asked now would not be answered; null if it would. */
  readonly noAnswers: () => string | null;
  /** Why answers get no receipts now; null if they do. */
  readonly noReceipts: () => string | null;
}

/**
 * `/healthz`: the process lives. `/readyz`: a question asked now would be answered. Both say whether receipts are kept,
 * and count against a budget of their own: a busy address must not look like a dead server.
 */
export function createHealthRouter({ config, noAnswers, noReceipts }: HealthDeps): Router {
  const limiter = new RateLimiterMemory({ points: config.limits.healthChecksPerMinute, duration: 60 });
  const router = express.Router();
  const answer =
    (asksForAnswers: boolean): RequestHandler =>
    (request, response) => {
      response.set('Cache-Control', 'no-store');
      limiter.consume(clientOf(clientAddress(request, config.trustProxy))).then(
        () => {
          const answers = noAnswers();
          const isFine = !asksForAnswers || answers === null;
          const state = {
            status: isFine ? 'ok' : 'not ready',
            answers: partOf(answers),
            receipts: partOf(noReceipts()),
          };
          response.status(isFine ? 200 : 503).json(state);
        },
        () => {
          const error = { code: 'rate-limited', message: 'too many health checks from this address' };
          response.set('Retry-After', '60').status(429).json({ error });
        },
      );
    };
  router.get('/healthz', answer(false));
  router.get('/readyz', answer(true));
  return router;
}

function partOf(reason: string | null): { readonly ready: boolean; readonly reason: string | null } {
  return { ready: reason === null, reason };
}
