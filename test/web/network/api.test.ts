import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { fetchRange } from '../../../web/network/api.ts';

const digest = 'a'.repeat(64) as Digest;
const signal = new AbortController().signal;
let give: (text: string) => void;
let end: () => void;
let request: AbortSignal;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('fetch', (_path: string, init: RequestInit) => {
    request = init.signal!;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        give = (text) => controller.enqueue(new TextEncoder().encode(text));
        end = () => controller.close();
        request.addEventListener('abort', () => controller.error(request.reason));
      },
    });
    return Promise.resolve(new Response(body, { status: 206 }));
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('a piece may take as long as its link needs, as long as some of it comes', async () => {
  const piece = fetchRange(digest, 0, 4, signal);
  for (const part of ['w', 'r', 'e', 'n']) {
    await vi.advanceTimersByTimeAsync(25_000);
    give(part);
  }
  end();
  expect(new TextDecoder().decode(await piece)).toBe('wren');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(request.aborted).toBe(false);
});

it('a server that falls silent in the middle of a piece is given up', async () => {
  const piece = expect(fetchRange(digest, 0, 4, signal)).rejects.toMatchObject({ code: 'timeout' });
  give('w');
  await vi.advanceTimersByTimeAsync(31_000);
  await piece;
});
