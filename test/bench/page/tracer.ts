import { concatBytes, fromBase64, toBase64 } from '#shared/bytes.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { pageClock } from '../../../web/browser/page-clock.ts';
import { openWasm, openWebGpu } from '../../../worker/backend.ts';
import { loadStage, readStageBlobs } from '../../../worker/load-stage.ts';
import { Runtimes } from '../../../worker/runtimes.ts';
import { loadRequest, readManifest } from '../../support/browser-compute.ts';
import { traceSession } from '../../support/traces/tracer.ts';
import type { TracedBackend } from '../calibrate/chromium-tracer.ts';
import { realClock } from '../../support/real-clock.ts';

/** A session as it travels to the page: input rows in base64. */
export interface PageRun {
  readonly input: string;
  readonly plan: readonly number[];
}

/**
 * Runs sessions of one stage on this page's WASM or WebGPU; answers the numeric class and the output rows. Throws
 * `unsupported` for `gpu` where there is none, or only an emulated one.
 */
export async function traceInPage(
  url: string,
  kind: TracedBackend,
  range: StageRange,
  runs: readonly PageRun[],
): Promise<{ numericClass: string; outputs: string[] }> {
  const runtimes = new Runtimes();
  const lost: string[] = [];
  const onLost = (reason: string): void => void lost.push(reason);
  const backend =
    kind === 'wasm' || kind === 'engine'
      ? openWasm(runtimes, 'asked for', { withEngine: kind === 'engine' })
      : await openWebGpu(navigator.gpu, runtimes, {
          subgroups: kind === 'gpu',
          refuseSoftware: kind === 'gpu',
          clock: pageClock(),
          onLost,
        });
  try {
    const request = { ...(await loadRequest(url, await readManifest(url), range)), probe: false };
    const { stage, numericClass } = await loadStage(
      backend,
      request,
      await readStageBlobs(request, realClock),
      () => undefined,
    );
    const outputs: string[] = [];
    for (const { input, plan } of runs) {
      outputs.push(toBase64(concatBytes(...(await traceSession(stage, range, { input: fromBase64(input), plan })))));
    }
    await stage.release();
    if (lost.length > 0) throw new Error(`the device was lost: ${lost.join()}`);
    return { numericClass, outputs };
  } finally {
    backend.close();
  }
}
