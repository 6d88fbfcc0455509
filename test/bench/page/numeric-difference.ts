import { decodeF16, encodeF16 } from '#shared/model/f16.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { openWasm, openWebGpu, type OpenBackend } from '../../../worker/backend.ts';
import { loadStage, readStageBlobs } from '../../../worker/load-stage.ts';
import type { StageInput } from '../../../worker/loaded-graph.ts';
import { largestRowError } from '../../../worker/probe.ts';
import { Runtimes } from '../../../worker/runtimes.ts';
import { loadRequest, readManifest } from '../../support/browser-compute.ts';
import { realClock } from '../../support/real-clock.ts';

/** Relative L2 differences of single rows between two ways to compute one stage from the same input. */
export interface Difference {
  readonly range: StageRange;
  readonly pair: string;
  /** `rows`: of the output itself; `update`: of output minus input, where both are hidden rows. */
  readonly of: 'rows' | 'update';
  readonly values: readonly number[];
}

const CHUNK = 32;

/** Runs `tokens` through the stages on WASM and on WebGPU, by single positions and by chunks. */
export async function measureDifferences(
  url: string,
  ranges: readonly StageRange[],
  tokens: readonly number[],
): Promise<Difference[]> {
  const onLost = (reason: string): void => console.error(`device lost: ${reason}`);
  const manifest = await readManifest(url);
  const runtimes = new Runtimes();
  const wasm = openWasm(runtimes, 'compared with', { withEngine: false });
  const options = { refuseSoftware: false, clock: pageClock(), onLost };
  const gpu = await openWebGpu(navigator.gpu, runtimes, { ...options, subgroups: false });
  const gpuWithSubgroups = await openWebGpu(navigator.gpu, runtimes, { ...options, subgroups: true });
  const single = tokens.map(() => 1);
  const chunks = Array.from({ length: tokens.length / CHUNK }, () => CHUNK);
  const differences: Difference[] = [];
  let input: StageInput = Uint32Array.from(tokens);

  for (const range of ranges) {
    const request = { ...(await loadRequest(url, manifest, range)), probe: false };
    const blobs = await readStageBlobs(request, realClock);
    const compute = async (backend: OpenBackend, plans: readonly (readonly number[])[]): Promise<Float32Array[]> => {
      const { stage } = await loadStage(backend, request, blobs, () => undefined);
      const outputs: Float32Array[] = [];
      for (const plan of plans) outputs.push((await stage.trace(input, plan)).values);
      await stage.release();
      return outputs;
    };
    const [wasmDecode, wasmChunk] = (await compute(wasm, [single, chunks])) as [Float32Array, Float32Array];
    const [gpuDecode, gpuChunk] = (await compute(gpu, [single, chunks])) as [Float32Array, Float32Array];
    const [faultyChunk] = (await compute(gpuWithSubgroups, [chunks])) as [Float32Array];
    const pairs: readonly [string, Float32Array, Float32Array][] = [
      ['wasm decode, wasm chunk', wasmDecode, wasmChunk],
      ['webgpu decode, wasm decode', gpuDecode, wasmDecode],
      ['webgpu chunk, wasm chunk', gpuChunk, wasmChunk],
      ['webgpu decode, wasm chunk', gpuDecode, wasmChunk],
      ['webgpu decode, webgpu chunk', gpuDecode, gpuChunk],
      ['webgpu-subgroups chunk, wasm chunk', faultyChunk, wasmChunk],
    ];
    for (const [pair, a, b] of pairs) {
      differences.push({ range, pair, of: 'rows', values: rowErrors(a, b, tokens.length) });
      if (!range.embedding && !range.head) {
        const [updateA, updateB] = [minus(a, input as Float32Array), minus(b, input as Float32Array)];
        differences.push({ range, pair, of: 'update', values: rowErrors(updateA, updateB, tokens.length) });
      }
    }
    // As the next stage gets them over a link.
    input = decodeF16(encodeF16(wasmChunk));
  }
  for (const backend of [gpu, gpuWithSubgroups]) backend.close();
  return differences;
}

function rowErrors(actual: Float32Array, expected: Float32Array, rows: number): number[] {
  return Array.from({ length: rows }, (_, row) => largestRowError(actual, expected, expected.length / rows, row, 1));
}

function minus(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value - (b[i] as number));
}
