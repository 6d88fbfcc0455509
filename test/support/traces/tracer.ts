import type { SessionId } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { StageCompute } from '#shared/rows/compute.ts';
import type { Rows } from '#shared/rows/rows.ts';

/** One session of a stage: input rows as they come over a link, and how many positions each run takes. */
export interface TraceRun {
  readonly input: Uint8Array<ArrayBuffer>;
  readonly plan: readonly number[];
}

/** Runs a device's stage over sessions, all logits wanted, and gives each session's output rows as they go over a link. */
export interface Tracer {
  readonly numericClass: string;
  trace(model: TracedModel, range: StageRange, runs: readonly TraceRun[]): Promise<Uint8Array<ArrayBuffer>[]>;
  stop(): Promise<void>;
}

/** A model with its weights; `name` names the weights too, so that a changed blob has a name of its own. */
export interface TracedModel {
  readonly name: string;
  readonly manifest: Manifest;
  readonly blob: (digest: string) => Uint8Array<ArrayBuffer>;
}

/** Feeds `run` to a stage in a session of its own. */
export async function traceSession(stage: StageCompute, range: StageRange, run: TraceRun): Promise<Uint8Array[]> {
  const session = 'ca'.repeat(16) as SessionId;
  const total = run.plan.reduce((sum, count) => sum + count, 0);
  const rowBytes = run.input.length / total;
  const kind: Rows['kind'] = range.embedding ? 'tokens' : 'hidden';
  const outputs: Uint8Array[] = [];
  await stage.open(session, total);
  try {
    let start = 0;
    for (const count of run.plan) {
      const bytes = run.input.slice(start * rowBytes, (start + count) * rowBytes);
      outputs.push((await stage.run({ session, input: { kind, start, count, bytes }, logitsFrom: 0 })).output.bytes);
      start += count;
    }
  } finally {
    await stage.close(session);
  }
  return outputs;
}

/** Runs of at most `chunk` positions that never straddle a multiple of it, as prompts and spans are computed. */
export function chunkPlan(positions: number, chunk = 32): number[] {
  return Array.from({ length: Math.ceil(positions / chunk) }, (_, i) => Math.min(chunk, positions - i * chunk));
}

/** A primary's runs: a prompt by chunks, then one position at a time. */
export function primaryPlan(prompt: number, positions: number): number[] {
  return [...chunkPlan(prompt), ...Array<number>(positions - prompt).fill(1)];
}
