/**
 * A thread for the importer: each message is one stage and its input, answered with the rows that the WASM backend
 * gives for it in one run. These become the manifest's probe values. Started by reference-main.mjs.
 */
import { parentPort } from 'node:worker_threads';
import { toChorusError } from '#shared/errors.ts';
import { cutStage, stageGraph } from '#shared/model/cut.ts';
import type { ReferenceReply, ReferenceRequest } from '#shared/wire/worker-message.ts';
import { loadGraph } from './loaded-graph.ts';
import { RUNTIME_VERSION } from './runtime.ts';
import { Runtimes } from './runtimes.ts';
import { createServedStage } from './served-stage.ts';

const port = parentPort;
if (port === null) throw new Error('not in a worker thread, where alone reference-main.ts can run');

const runtimes = new Runtimes();

async function reference({
  manifest,
  range,
  graph,
  blobs,
  input,
  positions,
}: ReferenceRequest): Promise<ReferenceReply> {
  const blob = (digest: string) => blobs.get(digest) ?? new Uint8Array();
  const cut = cutStage({ manifest, graph, range, blob });
  // Never from the engine: a fault of its own would be in the values that it is tried with.
  const backend = { runtime: await runtimes.get('wasm'), device: null };
  const loaded = await loadGraph(backend, stageGraph(cut, true), manifest.config);
  const stage = createServedStage({ loaded, manifest, range, maxSessions: 1 });
  try {
    const { values } = await stage.trace(input, [positions]);
    return { type: 'values', values: values.slice(), runtimeVersion: RUNTIME_VERSION };
  } finally {
    await stage.release();
  }
}

port.on('message', (request: ReferenceRequest) => {
  void reference(request)
    .catch((thrown: unknown): ReferenceReply => {
      const { code, message } = toChorusError(thrown);
      return { type: 'failure', code, message };
    })
    .then((reply) => port.postMessage(reply));
});
