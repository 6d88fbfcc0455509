import type { Response } from 'express';
import type { Clock } from '#shared/clock.ts';

/** Comment lines after this much silence keep clients and proxies from taking a waiting stream for a dead one. */
const KEEP_ALIVE_MS = 5_000;

/**
 * A response as server-sent events. Headers leave with the first line, so that an early failure can still be a status.
 * It must end or its connection close, or its timer goes on.
 */
export interface EventStream {
  /** A line that clients skip. */
  comment(text: string): void;
  /** One event; resolves when the client has taken enough of what came before, has gone, or `signal` fires. */
  send(data: unknown): Promise<void>;
  /** Sends the API's end mark and closes. */
  end(): void;
}

export function createEventStream(response: Response, clock: Clock, signal: AbortSignal): EventStream {
  let cancelTimer = () => {};
  response.once('close', () => cancelTimer());

  function write(text: string): boolean {
    cancelTimer();
    if (response.destroyed || response.writableEnded) return true;
    cancelTimer = clock.setTimer(() => write(': keep-alive\n\n'), KEEP_ALIVE_MS);
    if (text === '') return true;
    if (!response.headersSent) {
      response.status(200);
      response.setHeader('content-type', 'text/event-stream; charset=utf-8');
      response.setHeader('cache-control', 'no-cache, no-transform');
      response.setHeader('x-accel-buffering', 'no');
    }
    return response.write(text);
  }

  write('');
  return {
    comment: (text) => void write(`: ${text.replaceAll(/[\r\n]+/g, ' ')}\n\n`),
    async send(data) {
      if (write(`data: ${JSON.stringify(data)}\n\n`) || response.destroyed || signal.aborted) return;
      await new Promise<void>((resolve) => {
        const settle = () => {
          response.off('drain', settle).off('close', settle);
          signal.removeEventListener('abort', settle);
          resolve();
        };
        response.on('drain', settle).on('close', settle);
        signal.addEventListener('abort', settle);
      });
    },
    end() {
      response.end('data: [DONE]\n\n');
    },
  };
}
