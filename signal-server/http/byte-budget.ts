import type { RequestHandler } from 'express';
import type { Clock } from '#shared/clock.ts';
import { clientAddress, clientOf } from '../gate/address.ts';
import type { Config } from '../machine/config.ts';

/** Who would have to wait longer comes again later. */
const MAX_WAIT_MS = 20_000;

interface Account {
  level: number;
  filledAtMs: number;
}

export interface ByteBudgetDeps {
  readonly clock: Clock;
  readonly config: {
    readonly trustProxy: boolean;
    readonly limits: Pick<Config['limits'], 'downloadBytes' | 'downloads'>;
  };
  /** Answers a request that is refused. */
  readonly refuse: (...handled: Parameters<RequestHandler>) => void;
}

/**
 * Holds each address to so many bytes a second. What an answer took is known when it is over, so an account may be overdrawn, and
 * the next request waits until it is filled again.
 */
export function limitBytes({ clock, config, refuse }: ByteBudgetDeps): RequestHandler {
  const { perSecond, burst } = config.limits.downloadBytes;
  const accounts = new Map<string, Account>();
  const running = new Map<string, number>();

  function filled(client: string): Account {
    const nowMs = clock.nowMs();
    const account = accounts.get(client) ?? { level: burst, filledAtMs: nowMs };
    account.level = Math.min(burst, account.level + ((nowMs - account.filledAtMs) / 1000) * perSecond);
    account.filledAtMs = nowMs;
    accounts.set(client, account);
    return account;
  }

  function leave(client: string, bytes: number): void {
    const account = filled(client);
    account.level -= bytes;
    const left = (running.get(client) ?? 1) - 1;
    if (left > 0) running.set(client, left);
    else running.delete(client);
    if (left <= 0 && account.level >= burst) accounts.delete(client);
  }

  return (request, response, next) => {
    const client = clientOf(clientAddress(request, config.trustProxy));
    const waitMs = Math.max(0, (-filled(client).level / perSecond) * 1000);
    const count = running.get(client) ?? 0;
    if (waitMs > MAX_WAIT_MS || count >= config.limits.downloads) return refuse(request, response, next);
    running.set(client, count + 1);
    const { socket } = request;
    const before = socket.bytesWritten;
    const cancel = waitMs > 0 ? clock.setTimer(() => next(), waitMs) : null;
    response.once('close', () => {
      cancel?.();
      leave(client, socket.bytesWritten - before);
    });
    if (cancel === null) next();
  };
}
