import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StageRange } from '#shared/model/stage.ts';
import type { TracedModel, Tracer, TraceRun } from './tracer.ts';

const folder = fileURLToPath(new URL('../../../node_modules/.cache/chorus-traces/', import.meta.url));

/** Raised whenever this code gives other bits for the same graph in the same runtime: 2 takes attention apart for WASM. */
const ARITHMETIC = 2;

export interface CachedTracer extends Tracer {
  /** Sessions that were computed now, and that were computed earlier and kept. */
  readonly counts: { recorded: number; kept: number };
}

/**
 * Keeps what a slow device computed, by all that it depends on. `device` says beforehand what computes; with `isFresh`
 * everything is computed anew.
 */
export function cachedTracer(device: string, open: () => Promise<Tracer>, isFresh: boolean): CachedTracer {
  const counts = { recorded: 0, kept: 0 };
  let opened: Promise<Tracer> | null = null;
  return {
    counts,
    numericClass: device,
    async trace(model, range, runs) {
      const paths = runs.map((run) => join(folder, `${keyOf(device, model, range, run)}.rows`));
      const kept = await Promise.all(paths.map(async (path) => (isFresh ? null : await readRows(path))));
      const missing = runs.filter((_, i) => kept[i] === null);
      let recorded: Uint8Array<ArrayBuffer>[] = [];
      if (missing.length > 0) {
        const tracer = await (opened ??= open());
        recorded = await tracer.trace(model, range, missing);
        if (tracer.numericClass !== device) throw new Error(`${device} was asked for, this is ${tracer.numericClass}`);
        await mkdir(folder, { recursive: true });
      }
      counts.recorded += missing.length;
      counts.kept += runs.length - missing.length;
      const outputs = kept.map((rows) => rows ?? (recorded.shift() as Uint8Array<ArrayBuffer>));
      await Promise.all(
        paths.map(async (path, i) => {
          if (kept[i] === null) await writeFile(path, outputs[i]!);
        }),
      );
      return outputs;
    },
    async stop() {
      await (await opened)?.stop();
    },
  };
}

/** Bytes that `make` gives once; later they are read. `key` names all that they depend on. */
export async function keptBytes(
  key: object,
  isFresh: boolean,
  make: () => Promise<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const path = join(folder, `${createHash('sha256').update(JSON.stringify(key)).digest('hex')}.rows`);
  const kept = isFresh ? null : await readRows(path);
  if (kept !== null) return kept;
  const made = await make();
  await mkdir(folder, { recursive: true });
  await writeFile(path, made);
  return made;
}

function keyOf(device: string, { name, manifest }: TracedModel, range: StageRange, { input, plan }: TraceRun): string {
  const weights = [manifest.graph, ...manifest.parts.map((part) => part.blob)].map((blob) => blob.digest);
  const runtime = [manifest.pins.runtimeVersion, ARITHMETIC];
  const described = { device, name, weights, runtime, range, plan };
  return createHash('sha256').update(JSON.stringify(described)).update(input).digest('hex');
}

async function readRows(path: string): Promise<Uint8Array<ArrayBuffer> | null> {
  return readFile(path).then(
    (bytes) => new Uint8Array(bytes),
    () => null,
  );
}
