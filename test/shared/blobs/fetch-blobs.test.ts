import { beforeEach, describe, expect, it } from 'vitest';
import { fetchBlobs, type FetchBlobsDeps } from '#shared/blobs/fetch-blobs.ts';
import { ChorusError } from '#shared/errors.ts';
import { BLOB_PIECE_BYTES } from '#shared/limits.ts';
import { makeBlob, pieceOf } from '../../contract/blob-store-contract.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { FakeClock, untilSettled } from '../../support/fake-clock.ts';
import { MemoryBlobStore } from '../../support/memory-blob-store.ts';

const [one, two] = [makeBlob(2 * BLOB_PIECE_BYTES + 9), makeBlob(500)];
const refs = [one.ref, two.ref];
const bytesOf = (digest: string): Uint8Array<ArrayBuffer> => (digest === one.ref.digest ? one : two).bytes;

describe('fetching blobs', () => {
  let store: MemoryBlobStore;
  let clock: FakeClock;
  let asked: [string, number, number][];
  let progress: number[];
  const deps = (change: Partial<FetchBlobsDeps> = {}): FetchBlobsDeps => ({
    store,
    clock,
    fetchRange: (digest, start, end) => {
      asked.push([digest, start, end]);
      return Promise.resolve(bytesOf(digest).slice(start, end));
    },
    onProgress: ({ doneBytes }) => progress.push(doneBytes),
    signal: new AbortController().signal,
    ...change,
  });
  beforeEach(() => {
    store = new MemoryBlobStore();
    clock = new FakeClock();
    asked = [];
    progress = [];
  });

  /** Runs to the end, pauses between attempts passing at once. */
  async function run(change: Partial<FetchBlobsDeps> = {}, wanted = refs): Promise<string> {
    const outcome = codeOfAsync(fetchBlobs(wanted, deps(change)));
    await untilSettled(outcome, clock);
    return outcome;
  }

  it('brings every piece of every blob, and tells how far it is', async () => {
    expect(await run()).toBe('no error');
    for (const { ref, bytes } of [one, two])
      expect(Buffer.compare((await store.get(ref)) as Uint8Array, bytes)).toBe(0);
    expect(progress[0]).toBe(0);
    expect(progress.at(-1)).toBe(one.ref.bytes + two.ref.bytes);
    expect([...progress].sort((a, b) => a - b)).toEqual(progress);
  });

  it('asks only for what is missing', async () => {
    await store.putPiece(one.ref, 1, pieceOf(one.ref, one.bytes, 1));
    expect(await run({}, [one.ref])).toBe('no error');
    expect(asked.map(([, start]) => start).sort()).toEqual([0, 2 * BLOB_PIECE_BYTES].sort());
    expect(progress[0]).toBe(BLOB_PIECE_BYTES);
  });

  it('brings a blob that is named twice once', async () => {
    expect(await run({}, [two.ref, two.ref])).toBe('no error');
    expect(asked.length).toBe(1);
  });

  it('tries again, with pauses, after a failure and after a wrong piece', async () => {
    let attempts = 0;
    const fetchRange: FetchBlobsDeps['fetchRange'] = (digest, start, end) => {
      attempts++;
      if (attempts === 1) return Promise.reject(new ChorusError('server-lost', 'down'));
      if (attempts === 2) return Promise.resolve(new Uint8Array(end - start));
      return Promise.resolve(bytesOf(digest).slice(start, end));
    };
    expect(await run({ fetchRange }, [two.ref])).toBe('no error');
    expect(attempts).toBe(3);
  });

  it('waits twice as long before each attempt as before the last', async () => {
    const askedAtMs: number[] = [];
    const fetchRange: FetchBlobsDeps['fetchRange'] = () => {
      askedAtMs.push(clock.nowMs());
      return Promise.reject(new ChorusError('server-lost', 'down'));
    };
    expect(await run({ fetchRange }, [two.ref])).toBe('server-lost');
    const pausesMs = askedAtMs.slice(1).map((atMs, i) => atMs - askedAtMs[i]!);
    expect(pausesMs.slice(1)).toEqual(pausesMs.slice(0, -1).map((pauseMs) => 2 * pauseMs));
  });

  it.each([
    ['cannot be had', 'server-lost', () => Promise.reject(new ChorusError('server-lost', 'down'))],
    ['are wrong each time', 'digest-mismatch', () => Promise.resolve(new Uint8Array(500))],
    ['are too short', 'digest-mismatch', () => Promise.resolve(new Uint8Array(3))],
  ])('gives up on pieces that %s: %s', async (_, code, fetchRange) => {
    let attempts = 0;
    const counted = (): Promise<Uint8Array<ArrayBuffer>> => {
      attempts++;
      return fetchRange();
    };
    expect(await run({ fetchRange: counted }, [two.ref])).toBe(code);
    expect(attempts).toBe(4);
  });

  it('does not try again where the device has no room', async () => {
    let attempts = 0;
    store.putPiece = () => {
      attempts++;
      return Promise.reject(new ChorusError('out-of-memory', 'full'));
    };
    expect(await run({}, [two.ref])).toBe('out-of-memory');
    expect(attempts).toBe(1);
  });

  it('keeps what came before it was stopped', async () => {
    const controller = new AbortController();
    const fetchRange: FetchBlobsDeps['fetchRange'] = (digest, start, end, signal) => {
      if (start === 0) return Promise.resolve(bytesOf(digest).slice(start, end));
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new ChorusError('cancelled', 'stopped')));
      });
    };
    const isHere = new Promise<void>((resolve) => {
      const put = store.putPiece.bind(store);
      store.putPiece = (...piece) => put(...piece).then(resolve);
    });
    const outcome = codeOfAsync(fetchBlobs([one.ref], deps({ fetchRange, signal: controller.signal })));
    await isHere;
    controller.abort();
    expect(await outcome).toBe('cancelled');
    expect([...(await store.pieces(one.ref))]).toEqual([0]);
  });

  it('stops the other pieces when one has failed for good', async () => {
    let aborted = 0;
    const fetchRange: FetchBlobsDeps['fetchRange'] = (_digest, start, _end, signal) => {
      if (start === 0) return Promise.reject(new ChorusError('cancelled', 'no'));
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          aborted++;
          reject(new ChorusError('cancelled', 'stopped'));
        });
      });
    };
    expect(await run({ fetchRange }, [one.ref])).toBe('cancelled');
    expect(aborted).toBe(2);
  });
});
