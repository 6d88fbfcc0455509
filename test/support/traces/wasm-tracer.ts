import { RUNTIME_CLASS } from '#shared/judge/numeric-class.ts';
import { loadRuntimeStage } from '../runtime-stage.ts';
import { createThreadTracer } from './thread-tracer.ts';
import type { Tracer } from './tracer.ts';

/** The inference runtime's WASM in this thread. */
export function createWasmTracer(): Tracer {
  return createThreadTracer(RUNTIME_CLASS, loadRuntimeStage);
}
