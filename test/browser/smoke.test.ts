import { expect, test } from 'vitest';
import { toHex } from '#shared/bytes.ts';

test('tests run inside a browser with WebRTC, WebGPU and the shared code', async () => {
  expect(toHex(new Uint8Array([1, 255]))).toBe('01ff');
  expect(typeof RTCPeerConnection).toBe('function');
  expect(await navigator.gpu.requestAdapter()).not.toBeNull();
});
