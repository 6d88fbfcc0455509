import { it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { cutStage, stageBlobs } from '#shared/model/cut.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { createWorkerClient } from '#shared/peer/worker-client.ts';
import { spawnWorkerThread } from '../signal-server/node-peer/worker-thread.ts';
import { systemClock } from '../signal-server/system-clock.ts';
import { loadRuntime } from '../worker/runtime.ts';
import { createStageSession } from '../worker/stage-session.ts';
import { importWren } from './support/imported-wren.ts';
import { playAnswer } from './support/played-answer.ts';
import { parseStatement } from '#shared/receipt/read-receipt.ts';
import { replayReceipt } from '#shared/receipt/replay-receipt.ts';
import { makePeople, wrenText } from './support/receipts.ts';

it('dbg', { timeout: 200000 }, async () => {
  const people = await makePeople();
  const prompt = wrenText.renderChat([{ role: 'user', content: 'Tell me about birds, and about the smallest of them.' }]);
  const wren = await importWren();
  const { manifest, blob } = wren;
  const backend = { runtime: await loadRuntime('wasm'), device: null };
  const openStage = async (range: StageRange) => {
    const graph = cutStage({ manifest, graph: blob(manifest.graph.digest), range, fold: true, blob });
    return createStageSession({ backend, manifest, range, graph, maxSessions: 1 });
  };
  const ranges = [
    { start: 0, end: 2, embedding: true, head: false },
    { start: 2, end: manifest.config.layers, embedding: false, head: true },
  ] as const;
  const played = await playAnswer(people, { manifest, manifestBytes: utf8(JSON.stringify(manifest)), ranges, openStage, text: wrenText, prompt, count: 24 });
  console.log(JSON.stringify(played.answer));
  const { predicate } = parseStatement(played.receipt);
  console.log(JSON.stringify(predicate.runs));
  const show = (r: any) => console.log(r.outputs.map((o: any) => `${o.stage} ${o.chunk} ${o.outcome}`).join(', '), r.tokens);
  show(await replayReceipt({ predicate, manifest, tokens: played.tokens, salt: played.salt, chunks: 'all', openStage }));
  const worker = createWorkerClient({ spawn: spawnWorkerThread, clock: systemClock });
  await worker.start({ backend: 'wasm', keepSubgroups: false });
  const open2 = async (range: StageRange) => {
    const blobs = new Map(stageBlobs(manifest, range).map(({ digest }) => [digest, blob(digest)] as const));
    await worker.load({ manifest, range, blobs, probe: false, maxSessions: 1 }, new AbortController().signal);
    return worker.compute;
  };
  show(await replayReceipt({ predicate, manifest, tokens: played.tokens, salt: played.salt, chunks: 'all', openStage: open2 }));
  worker.stop();
});
