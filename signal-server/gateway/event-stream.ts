import type { Response } from 'express';
import type { Clock } from '#shared/clock.ts';

/** Comment lines this often keep clients and proxies from taking a quiet stream for a dead one. */
const KEEP_ALIVE_MS = 5_000;

/** A response as server-sent events. Headers leave with the first line, so an earlier failure can still be a status. */
export interface EventStream {
  readonly isOpen: boolean;
  /** A line that clients skip. Opens the stream. */
  comment(text: string): void;
  /** One event; resolves when the client has taken enough of what came before, or has gone. */
  send(data: unknown): Promise<void>;
  /** Sends the API's end mark if asked to, and closes. */
  end(finished: boolean): void;
}

export function createEventStream(response: Response, clock: Clock): EventStream {
  let cancelTimer = () => {};
  let isOpen = false;

  function open(): void {
    if (isOpen) return;
    isOpen = true;
    response.status(200);
    response.setHeader('content-type', 'text/event-stream; charset=utf-8');
    response.setHeader('cache-control', 'no-cache, no-transform');
    response.setHeader('x-accel-buffering', 'no');
    response.flushHeaders();
    response.once('close', () => cancelTimer());
    keepAlive();
  }

  function keepAlive(): void {
    cancelTimer();
    if (response.destroyed || response.writableEnded) return;
    cancelTimer = clock.setTimer(() => {
      response.write(': keep-alive\n\n');
      keepAlive();
    }, KEEP_ALIVE_MS);
  }

  return {
    get isOpen() {
      return isOpen;
    },
    comment(text) {
      open();
      response.write(`: ${text.replaceAll(/[\r\n]+/g, ' ')}\n\n`);
    },
    async send(data) {
      open();
      keepAlive();
      if (response.write(`data: ${JSON.stringify(data)}\n\n`) || response.destroyed) return;
      await new Promise<void>((resolve) => {
        const settle = () => {
          response.off('drain', settle).off('close', settle);
          resolve();
        };
        response.on('drain', settle).on('close', settle);
      });
    },
    end(finished) {
      cancelTimer();
      response.end(finished ? 'data: [DONE]\n\n' : '');
    },
  };
}
