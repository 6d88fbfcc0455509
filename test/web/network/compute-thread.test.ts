import { expect, test } from 'vitest';
import { ComputeThread, READY_MS } from '../../../web/network/compute-thread.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { ToyWorker } from '../../support/toy-worker.ts';

class SeenWorker extends ToyWorker {
  readonly prepared: (string | null)[] = [];
  stops = 0;

  override async prepare(backend: 'webgpu' | 'wasm' | null = null): Promise<void> {
    this.prepared.push(backend);
  }

  override stop(): void {
    this.stops++;
  }
}

function setUp({ fails = 0 } = {}) {
  const clock = new FakeClock();
  const workers: SeenWorker[] = [];
  const thread = new ComputeThread({
    clock,
    createClient: () => {
      if (fails-- > 0) return Promise.reject(new Error('the code could not be loaded'));
      const worker = new SeenWorker(clock);
      workers.push(worker);
      return Promise.resolve(worker);
    },
  });
  return { clock, workers, thread };
}

test('the start takes the thread that was prepared, and the next start another', async () => {
  const { clock, workers, thread } = setUp();
  await thread.prepare('wasm');
  await thread.prepare(null);
  const first = await thread.take();
  expect([workers.length, workers[0]?.prepared, clock.pendingTimers]).toEqual([1, ['wasm', null], 0]);
  expect(await thread.take()).not.toBe(first);
});

test('a thread that no start takes is ended, and a later start gets a fresh one', async () => {
  const { clock, workers, thread } = setUp();
  await thread.prepare('wasm');
  await clock.advance(READY_MS);
  expect(workers[0]?.stops).toBe(1);
  expect(await thread.take()).not.toBe(workers[0]);
});

test('a thread that a start has taken is its own', async () => {
  const { clock, workers, thread } = setUp();
  await thread.prepare('wasm');
  await thread.take();
  await clock.advance(READY_MS);
  expect(workers[0]?.stops).toBe(0);
});

test('code that could not be loaded is loaded again at the start', async () => {
  const { workers, thread } = setUp({ fails: 1 });
  await expect(thread.prepare('wasm')).rejects.toThrow('could not be loaded');
  expect(await thread.take()).toBe(workers[0]);
});

test('code that fails to load late leaves the thread alone that was prepared since', async () => {
  const clock = new FakeClock();
  const second = new SeenWorker(clock);
  let fail = (_: Error): void => undefined;
  const clients = [new Promise<SeenWorker>((_, reject) => (fail = reject)), Promise.resolve(second)];
  const thread = new ComputeThread({
    clock,
    createClient: () => clients.shift() ?? Promise.reject(new Error('a third')),
  });
  const first = thread.take();
  await thread.prepare('wasm');
  fail(new Error('the code could not be loaded'));
  await expect(first).rejects.toThrow('could not be loaded');
  expect(await thread.take()).toBe(second);
});
