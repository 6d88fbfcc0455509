import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StageRange } from '#shared/model/stage.ts';
import { importModel } from '../../../signal-server/import/import-model.ts';
import type { ImportedWren } from '../../support/imported-wren.ts';
import { syntheticShapes, writeSyntheticFolder } from '../../support/synthetic-models.ts';
import { chunkPlan, primaryPlan, type TracedModel, type Tracer } from '../../support/traces/tracer.ts';

/** How one device computed positions [0, positions) of one session of one stage, row by row. */
export interface Trace {
  readonly numericClass: string;
  /** `chunk`: as a shadow does, whole spans at once. `primary`: a prompt by chunks, then single positions. */
  readonly shape: 'chunk' | 'primary';
  readonly plan: readonly number[];
  /** Rows as they go over a link; all positions have logits at the head. */
  readonly rows: Uint8Array<ArrayBuffer>;
}

/** Traces of the same input rows. */
export interface TracedSession {
  readonly model: TracedModel;
  readonly range: StageRange;
  readonly session: number;
  readonly input: Uint8Array<ArrayBuffer>;
  readonly traces: readonly Trace[];
}

/** The runs of one device for one session: a chunk run over all its positions, and runs of a primary over some. */
export interface SessionPlan {
  readonly tracer: Tracer;
  readonly session: number;
  readonly chunk: number;
  /** Prompt and all positions of a primary's session; null for none. */
  readonly primary: readonly [prompt: number, positions: number] | null;
}

/** `count` stages of equal numbers of layers. */
export function evenRanges(layers: number, count: number): StageRange[] {
  const at = (stage: number): number => Math.round((stage * layers) / count);
  return Array.from({ length: count }, (_, i) => ({
    start: at(i),
    end: at(i + 1),
    embedding: i === 0,
    head: i === count - 1,
  }));
}

/**
 * Runs `plans` through every stage. All devices get the same input: at first `histories` (u32 token ids), then what
 * `reference` gives for whole chunks.
 */
export async function traceModel(
  model: TracedModel,
  ranges: readonly StageRange[],
  histories: readonly Uint32Array[],
  plans: readonly SessionPlan[],
  reference: Tracer,
): Promise<TracedSession[]> {
  let inputs = histories.map((tokens) => new Uint8Array(Uint32Array.from(tokens).buffer));
  const sessions: TracedSession[] = [];
  for (const range of ranges) {
    const rowBytes = inputs.map((input, session) => input.length / histories[session]!.length);
    const whole = inputs.map((input, session) => ({ input, plan: chunkPlan(histories[session]!.length) }));
    const outputs = await reference.trace(model, range, whole);
    const traced = inputs.map((input, session): TracedSession & { traces: Trace[] } => {
      const traces: Trace[] = [
        { numericClass: reference.numericClass, shape: 'chunk', plan: whole[session]!.plan, rows: outputs[session]! },
      ];
      return { model, range, session, input, traces };
    });
    for (const tracer of new Set(plans.map((plan) => plan.tracer))) {
      const runs = plans
        .filter((plan) => plan.tracer === tracer)
        .flatMap(({ session, chunk, primary }) => {
          const run = (shape: Trace['shape'], plan: number[], positions: number) => ({
            ...{ session, shape, plan },
            input: inputs[session]!.slice(0, positions * rowBytes[session]!),
          });
          return [
            ...(chunk > 0 ? [run('chunk', chunkPlan(chunk), chunk)] : []),
            ...(primary === null ? [] : [run('primary', primaryPlan(...primary), primary[1])]),
          ];
        });
      const rows = await tracer.trace(model, range, runs);
      runs.forEach(({ session, shape, plan }, i) => {
        traced[session]!.traces.push({ numericClass: tracer.numericClass, shape, plan, rows: rows[i]! });
      });
    }
    sessions.push(...traced);
    inputs = outputs;
  }
  return sessions;
}

/** The default model as traces name it. */
export function tracedWren(wren: ImportedWren): TracedModel {
  const { manifest } = wren;
  return { name: `wren-${manifest.pins.quantization}`, manifest, blob: (digest) => wren.blob(digest as never) };
}

/** Every synthetic graph, imported; their blobs stay in memory. */
export async function syntheticModels(): Promise<TracedModel[]> {
  const models: TracedModel[] = [];
  for (const [name, shape] of Object.entries(syntheticShapes)) {
    const folder = await mkdtemp(join(tmpdir(), 'chorus-synthetic-'));
    try {
      await writeSyntheticFolder(join(folder, 'model'), shape);
      const dataFolder = join(folder, 'data');
      const { manifest } = await importModel(join(folder, 'model'), { dataFolder, onProgress: () => undefined });
      const refs = [
        ...[manifest.graph, ...manifest.parts.map((part) => part.blob)],
        ...[...manifest.probe.boundaries, manifest.probe.logits],
      ];
      const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const { digest } of refs) blobs.set(digest, new Uint8Array(readFileSync(join(dataFolder, 'blobs', digest))));
      models.push({ name, manifest, blob: (digest) => blobs.get(digest)! });
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  return models;
}

/** Token ids of all kinds, the same every time. */
export function randomHistory(positions: number, vocabularySize: number, seed: number): Uint32Array {
  let state = seed;
  return Uint32Array.from({ length: positions }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return 1 + (state % (vocabularySize - 1));
  });
}
