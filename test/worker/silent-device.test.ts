import { expect, it } from 'vitest';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { ComputeHost } from '../../worker/compute-host.ts';
import { FakeClock } from '../support/fake-clock.ts';

const adapter = (requestDevice: () => Promise<unknown>) => ({
  ...{ features: new Set(), limits: {}, requestDevice },
  info: { vendor: 'acme', architecture: 'x', isFallbackAdapter: false },
});

/** The start of a thread whose `navigator.gpu` answers like this, after `waitMs`. */
async function startWith(requestAdapter: () => Promise<unknown>, backend: 'auto' | 'webgpu', waitMs: number) {
  const clock = new FakeClock();
  const host = new ComputeHost({
    gpu: { requestAdapter } as unknown as GPU,
    clock,
    onProgress: () => undefined,
    onDeviceLost: () => undefined,
  });
  const started = host.start({ backend, keepSubgroups: false });
  started.catch(() => undefined);
  await clock.advance(waitMs);
  return { started, clock };
}

const never = () => new Promise<never>(() => undefined);
const silent: [string, () => Promise<unknown>][] = [
  ['an adapter', never],
  ['a device', () => Promise.resolve(adapter(never))],
];

it.each(silent)('the processor takes the place of %s that does not answer, within seconds', async (_what, request) => {
  const { started, clock } = await startWith(request, 'auto', 5_000);
  expect(await started).toMatchObject({
    backend: 'wasm',
    numericClass: ENGINE_CLASS,
    fallbackReason: 'the graphics device did not answer within 5 s',
    isDeviceFaulty: true,
  });
  expect(clock.pendingTimers).toBe(0);
});

it.each(silent)('nothing takes the place of %s that was asked for alone', async (_what, request) => {
  const { started } = await startWith(request, 'webgpu', 5_000);
  await expect(started).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('5 s') as string,
  });
});

it('a device that comes too late is given back', async () => {
  let answer: (device: unknown) => void = () => undefined;
  let isDestroyed = false;
  const late = () => new Promise((resolve) => (answer = resolve));
  const { started, clock } = await startWith(() => Promise.resolve(adapter(late)), 'auto', 5_000);
  expect(await started).toMatchObject({ backend: 'wasm' });
  answer({ destroy: () => (isDestroyed = true) });
  await clock.advance(0);
  expect(isDestroyed).toBe(true);
});

it.each([
  [
    'throws',
    () => Promise.reject(new TypeError("Cannot read properties of undefined (reading 'x')")),
    'could not open',
  ],
  ['has no adapter', () => Promise.resolve(null), 'there is no graphics adapter'],
  ['has something that is none', () => Promise.resolve({ features: new Set() }), 'could not open'],
] as const)('a browser that %s has the processor compute, and says so in our words', async (_what, request, words) => {
  const { started, clock } = await startWith(request, 'auto', 0);
  const fallbackReason = expect.stringContaining(words) as string;
  expect(await started).toMatchObject({ backend: 'wasm', fallbackReason, isDeviceFaulty: false });
  expect(clock.pendingTimers).toBe(0);
});
