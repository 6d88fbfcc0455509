import { concatBytes, fromBase64, toBase64 } from '#shared/bytes.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { openWasm, openWebGpu } from '../../../worker/backend.ts';
import { loadStage, readBlobs } from '../../../worker/load-stage.ts';
import { loadRequest, readManifest } from '../../support/browser-compute.ts';
import { traceSession } from '../../support/traces/tracer.ts';

/** A session as it travels to the page: input rows in base64. */
export interface PageRun {
  readonly input: string;
  readonly plan: readonly number[];
}

/**
 * Runs sessions of one stage on this page's WebGPU, without subgroups, or its WASM; answers the numeric class and the
 * output rows.
 */
export async function traceInPage(
  url: string,
  kind: 'webgpu' | 'wasm',
  range: StageRange,
  runs: readonly PageRun[],
): Promise<{ numericClass: string; outputs: string[] }> {
  const lost: string[] = [];
  const onLost = (reason: string): void => void lost.push(reason);
  const backend =
    kind === 'wasm'
      ? await openWasm('asked for')
      : await openWebGpu(navigator.gpu, { subgroups: false, refuseSoftware: false, onLost });
  try {
    const request = { ...(await loadRequest(url, await readManifest(url), range)), probe: false };
    const { stage } = await loadStage(backend, request, await readBlobs(request), () => undefined);
    const outputs: string[] = [];
    for (const { input, plan } of runs) {
      outputs.push(toBase64(concatBytes(...(await traceSession(stage, range, { input: fromBase64(input), plan })))));
    }
    await stage.release();
    if (lost.length > 0) throw new Error(`the device was lost: ${lost.join()}`);
    return { numericClass: backend.info.numericClass, outputs };
  } finally {
    backend.close();
  }
}
