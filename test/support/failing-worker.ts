/** worker/main.ts with ways to fail on demand. */
import type { WorkerRequest } from '#shared/wire/worker-message.ts';
import { createDispatch } from '../../worker/dispatch.ts';

const devices: GPUDevice[] = [];
const requestDevice = Reflect.get(GPUAdapter.prototype, 'requestDevice');
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await requestDevice.call(this, descriptor);
  devices.push(device);
  return device;
};

const dispatch = createDispatch({
  gpu: navigator.gpu,
  post: (reply, transfer) => self.postMessage(reply, { transfer }),
});

self.onmessage = (event: MessageEvent<WorkerRequest | 'lose the device' | 'crash'>) => {
  if (event.data === 'crash') throw new Error('crashed on demand');
  if (event.data === 'lose the device') devices.forEach((device) => device.destroy());
  else dispatch(event.data);
};
