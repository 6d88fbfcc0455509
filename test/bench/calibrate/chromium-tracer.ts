import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fromBase64, toBase64 } from '#shared/bytes.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { gpuChromiumArgs } from '../../../scripts/find-chromium.ts';
import { launchChromium } from '../../support/tabs.ts';
import type { TracedModel, Tracer } from '../../support/traces/tracer.ts';
import { startPageServer } from '../page-server.ts';
import type * as pageModule from '../page/tracer.ts';

/** `wasm` is the inference runtime on the processor. SwiftShader is used without the subgroups that it computes wrongly with; a real GPU as volunteers use it. */
export type TracedBackend = 'engine' | 'wasm' | 'swiftshader' | 'gpu';

/** A device in a headless Chromium. Its class is known once it has traced something. */
export async function createChromiumTracer(kind: TracedBackend): Promise<Tracer> {
  const models = await startModels();
  const pages = await startPageServer(models.url, ['test/bench/page/tracer.ts']);
  const browser = await launchChromium(kind === 'gpu' ? gpuChromiumArgs : undefined);
  const page = await browser.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') console.error(`page: ${message.text()}`);
  });
  await page.goto(pages.url);
  const measure = (url: string, range: StageRange, runs: readonly pageModule.PageRun[]) =>
    page.evaluate(
      async ([at, backend, stage, sessions]) => {
        const path = '/test/bench/page/tracer.ts';
        const { traceInPage } = (await import(path)) as typeof pageModule;
        return traceInPage(at, backend, stage, sessions);
      },
      [url, kind, range, runs] as const,
    );
  let numericClass = '';
  return {
    get numericClass() {
      return numericClass;
    },
    async trace(model, range, runs) {
      const sessions = runs.map(({ input, plan }) => ({ input: toBase64(input), plan }));
      const answer = await measure(models.add(model), range, sessions);
      ({ numericClass } = answer);
      return answer.outputs.map(fromBase64);
    },
    async stop() {
      await browser.close();
      await pages.stop();
      await models.stop();
    },
  };
}

/** Serves any models to the page, each with its own blobs. */
async function startModels(): Promise<{ url: string; add(model: TracedModel): string; stop(): Promise<void> }> {
  const served = new Map<string, TracedModel>();
  const server = createServer((request, response) => {
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('cross-origin-resource-policy', 'cross-origin');
    const [, name = '', kind, digest = ''] = (request.url ?? '').split('/');
    const model = served.get(decodeURIComponent(name));
    if (model === undefined) response.writeHead(404).end();
    else if (kind === 'manifest.json') response.end(JSON.stringify(model.manifest));
    else response.end(model.blob(digest));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    add(model) {
      served.set(model.name, model);
      return `${url}/${encodeURIComponent(model.name)}`;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
