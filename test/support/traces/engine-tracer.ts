import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { loadEngineStage } from '../engine-stage.ts';
import { createThreadTracer } from './thread-tracer.ts';
import type { Tracer } from './tracer.ts';

/** The engine in this thread. */
export function createEngineTracer(): Tracer {
  return createThreadTracer(ENGINE_CLASS, loadEngineStage);
}
