/**
 * A thread for the importer: each message is one stage and its input, answered with the rows that the WASM backend
 * gives for it in one run. These become the manifest's probe values. Started by reference-main.mjs.
 */
import { parentPort } from 'node:worker_threads';
import { toChorusError } from '#shared/errors.ts';
import { cutStage } from '#shared/model/cut.ts';
import type { ReferenceReply, ReferenceRequest } from '#shared/wire/worker-message.ts';
import { openWasm } from './backend.ts';
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
  const backend = await openWasm(runtimes, 'the reference is computed there');
  const blob = (digest: string) => blobs.get(digest) ?? new Uint8Array();
  const stageGraph = cutStage({ manifest, graph, range, fold: true, blob });
  await backend.warm;
  const stage = await createServedStage({ backend, manifest, range, graph: stageGraph, maxSessions: 1 });
  try {
    const { values } = await stage.trace(input, [positions]);
    return { type: 'values', values: values.slice(), runtimeVersion: backend.info.runtimeVersion };
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
