import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { BackendInfo } from '#shared/wire/worker-message.ts';
import { ENGINE_CLASS, RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { RUNTIME_VERSION, type Runtime } from './runtime.ts';
import type { Runtimes } from './runtimes.ts';

/** A backend that computes, until `close`. */
export interface OpenBackend {
  readonly info: BackendInfo;
  /** Null is the processor. */
  readonly device: GPUDevice | null;
  readonly hasSubgroups: boolean;
  /** The inference runtime, ready; on the processor it is loaded only for graphs that the engine does not know. */
  runtime(): Promise<Runtime>;
  /** The engine's module, ready; null where the inference runtime runs every graph. */
  readonly engine: (() => Promise<WebAssembly.Module>) | null;
  close(): void;
}

/** How long a graphics device may take to be there: the processor could work meanwhile. */
const OPEN_DEVICE_MS = 5_000;

/** Limits that decide which stages fit; the rest stay at WebGPU's defaults, which every adapter has. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const satisfies readonly (keyof GPUSupportedLimits)[];

interface ProcessorOptions {
  /** As in `BackendInfo`. */
  readonly isDeviceFaulty?: boolean;
  /** Without the engine everything runs as graphs do that it does not know. */
  readonly withEngine?: boolean;
}

/** The processor; `fallbackReason` says for people why WebGPU was not taken. */
export function openWasm(
  runtimes: Runtimes,
  fallbackReason: string,
  { isDeviceFaulty = false, withEngine = true }: ProcessorOptions = {},
): OpenBackend {
  const info: BackendInfo = {
    backend: 'wasm',
    numericClass: withEngine ? ENGINE_CLASS : RUNTIME_CLASS,
    runtimeVersion: RUNTIME_VERSION,
    fallbackReason,
    isDeviceFaulty,
  };
  const runtime = () => runtimes.get('wasm');
  const engine = withEngine ? () => runtimes.engine() : null;
  return { info, device: null, hasSubgroups: false, runtime, engine, close: () => undefined };
}

interface DeviceOptions {
  readonly subgroups: boolean;
  readonly refuseSoftware: boolean;
}

/**
 * A GPU device of our own making, so that it can be made without the `subgroups` feature where that computes wrongly,
 * and so that its loss or an error in it is seen: `onLost` is called then, unless `close` came first. Throws `unsupported` where there
 * is no adapter, or with `refuseSoftware` only one that is emulated on the processor, which WASM outruns by far, or where
 * none answers within OPEN_DEVICE_MS.
 */
export async function openWebGpu(
  gpu: GPU | undefined,
  runtimes: Runtimes,
  options: DeviceOptions & { clock: Clock; onLost: (reason: string) => void },
): Promise<OpenBackend> {
  if (gpu === undefined) throw new ChorusError('unsupported', 'this browser has no WebGPU');
  const { adapter, device } = await answered(openDevice(gpu, options), options.clock, (late) => late.device.destroy());
  let isClosed = false;
  void device.lost.then(({ reason, message }) => {
    if (!isClosed) options.onLost(message === '' ? reason : message);
  });
  // Such a run fails unseen, so nothing that the device computes can be trusted after it.
  device.addEventListener('uncapturederror', ({ error }) => {
    if (!isClosed) options.onLost(error.message);
  });
  // It goes on while a stage's weights are read.
  void runtimes.get('webgpu');
  const hasSubgroups = device.features.has('subgroups');
  const { vendor, architecture } = adapter.info;
  const name = `webgpu/${vendor || 'unknown'}/${architecture || 'unknown'}`;
  return {
    device,
    hasSubgroups,
    runtime: () => runtimes.get('webgpu'),
    engine: null,
    info: {
      backend: 'webgpu',
      numericClass: hasSubgroups ? `${name}-subgroups` : name,
      runtimeVersion: RUNTIME_VERSION,
      fallbackReason: null,
      isDeviceFaulty: false,
    },
    close() {
      isClosed = true;
      device.destroy();
    },
  };
}

async function openDevice(
  gpu: GPU,
  { subgroups, refuseSoftware }: DeviceOptions,
): Promise<{ adapter: GPUAdapter; device: GPUDevice }> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  // Some browsers that have none give undefined.
  if (!adapter) throw new ChorusError('unsupported', 'there is no graphics adapter');
  if (refuseSoftware && isSoftware(adapter.info)) {
    throw new ChorusError('unsupported', 'the only graphics adapter is emulated in software');
  }
  const features = [...adapter.features].filter((name) => subgroups || !name.includes('subgroup'));
  const device = await adapter.requestDevice({
    requiredFeatures: features as GPUFeatureName[],
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  return { adapter, device };
}

/** A driver that hangs answers nothing, neither yes nor no. What comes after all is dropped. */
function answered<Value>(opening: Promise<Value>, clock: Clock, drop: (late: Value) => void): Promise<Value> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const stopTimer = clock.setTimer(() => {
      isLate = true;
      const why = `the graphics device did not answer within ${OPEN_DEVICE_MS / 1000} s`;
      reject(new ChorusError('unsupported', why, { isDeviceFaulty: true }));
    }, OPEN_DEVICE_MS);
    opening.finally(stopTimer).then((value) => (isLate ? drop(value) : resolve(value)), reject);
  });
}

function isSoftware(info: GPUAdapterInfo): boolean {
  return info.isFallbackAdapter || info.architecture === 'swiftshader';
}
