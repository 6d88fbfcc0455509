import { expect, test } from 'vitest';
import { createDeviceKv, type KvShape } from '../../../worker/kv-store.ts';
import { loadRuntime } from '../../../worker/runtime.ts';

const shape: KvShape = {
  names: [{ key: 'k', value: 'v', presentKey: 'pk', presentValue: 'pv' }],
  type: 'float32',
  heads: 4,
  headSize: 64,
};

test('a session that the graphics device has no room for is refused, and the device stays of use', async () => {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  const unseen: string[] = [];
  device.addEventListener('uncapturederror', ({ error }) => unseen.push(error.message));
  const runtime = await loadRuntime('webgpu');
  const tooLong = device.limits.maxBufferSize / (4 * 64);
  await expect(createDeviceKv(runtime, device, shape, tooLong)).rejects.toMatchObject({ code: 'out-of-memory' });
  const kv = await createDeviceKv(runtime, device, shape, 64);
  expect(Object.keys(kv.past())).toEqual(['k', 'v']);
  kv.release();
  expect(unseen).toEqual([]);
  device.destroy();
});
