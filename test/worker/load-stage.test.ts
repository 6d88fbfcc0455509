import { beforeAll, expect, test } from 'vitest';
import { digestOf } from '#shared/crypto/identity.ts';
import type { Digest } from '#shared/ids.ts';
import { describeRange, type StageRange } from '#shared/model/stage.ts';
import type { WorkerCalls } from '#shared/wire/worker-message.ts';
import { openWasm, type OpenBackend } from '../../worker/backend.ts';
import { loadStage, readStageBlobs } from '../../worker/load-stage.ts';
import { Runtimes } from '../../worker/runtimes.ts';
import { realClock } from '../support/real-clock.ts';
import { type ImportedWren, importWren } from '../support/imported-wren.ts';

const ranges: readonly StageRange[] = [
  { start: 0, end: 0, embedding: true, head: false },
  { start: 0, end: 3, embedding: true, head: false },
  { start: 3, end: 6, embedding: false, head: false },
  { start: 6, end: 8, embedding: false, head: true },
  { start: 8, end: 8, embedding: false, head: true },
  { start: 0, end: 8, embedding: true, head: true },
];
const middle: StageRange = { start: 3, end: 6, embedding: false, head: false };

let wren: ImportedWren;
let backend: OpenBackend;

beforeAll(async () => {
  wren = await importWren();
  backend = openWasm(new Runtimes(), 'a test');
}, 120_000);

function requestFor(range: StageRange, probe = true): WorkerCalls['load']['request'] {
  return { manifest: wren.manifest, range, blobs: wren.blobs(range), probe, maxSessions: 1 };
}

test.each(ranges.map((range) => [describeRange(range), range] as const))(
  'a stage with %s computes the values of the manifest',
  async (_, range) => {
    const request = requestFor(range);
    const { stage, probed } = await loadStage(
      backend,
      request,
      await readStageBlobs(request, realClock),
      () => undefined,
      realClock,
    );
    // Activations of 16 bits leave about so much beside the float32 of the reference.
    expect(probed.error).toBeLessThan(1e-4);
    expect(probed.decodeMs).toBeGreaterThan(0);
    await stage.release();
  },
);

test('loading reports every step', async () => {
  const request = requestFor(middle);
  const seen = new Set<string>();
  const { stage } = await loadStage(
    backend,
    request,
    await readStageBlobs(request, realClock),
    (phase) => seen.add(phase),
    realClock,
  );
  expect([...seen]).toEqual(['cut', 'create', 'warm-up', 'probe']);
  await stage.release();
});

type Blobs = Awaited<ReturnType<typeof readStageBlobs>>;

/** The stage's blobs with one bit flipped in the scales of a layer. */
function damaged(blobs: Blobs): Blobs {
  const part = wren.manifest.parts.find(({ name }) => name === 'layer.4');
  const scales = part?.weights.find(({ name }) => name.includes('scale'));
  const digest = part?.blob.digest as Digest;
  const bytes = (blobs.get(digest) as Uint8Array<ArrayBuffer>).slice();
  for (let at = 0; at < 64; at += 4) bytes[(scales?.offset ?? 0) + at + 3]! ^= 0x01;
  return new Map([...blobs, [digest, bytes]]);
}

test('a stage that computes other values than the manifest says is refused', async () => {
  const request = requestFor(middle);
  const blobs = damaged(await readStageBlobs(request, realClock));
  await expect(loadStage(backend, request, blobs, () => undefined, realClock)).rejects.toMatchObject({
    code: 'probe-failed',
  });
});

test('without the probe nothing is compared', async () => {
  const request = requestFor(middle, false);
  const { stage, probed } = await loadStage(
    backend,
    request,
    damaged(await readStageBlobs(request, realClock)),
    () => undefined,
    realClock,
  );
  expect(probed.error).toBeNull();
  await stage.release();
});

test('a blob that was not handed over is named', async () => {
  const request = requestFor(middle);
  const blobs = new Map(request.blobs);
  const missing = wren.manifest.graph.digest;
  blobs.delete(missing);
  await expect(readStageBlobs({ ...request, blobs }, realClock)).rejects.toMatchObject({
    code: 'bad-message',
    message: expect.stringContaining(missing) as string,
  });
});

test('a Blob is read where bytes would do', async () => {
  const request = requestFor(middle);
  const digest = wren.manifest.graph.digest;
  const bytes = request.blobs.get(digest) as Uint8Array<ArrayBuffer>;
  const read = await readStageBlobs(
    { ...request, blobs: new Map([...request.blobs, [digest, new Blob([bytes])]]) },
    realClock,
  );
  expect(digestOf(read.get(digest) as Uint8Array)).toBe(digest);
});

test('a Blob that is not what its name says is told, with the pieces to be fetched anew', async () => {
  const request = requestFor(middle);
  const digest = wren.manifest.graph.digest;
  const bytes = (request.blobs.get(digest) as Uint8Array<ArrayBuffer>).slice();
  bytes[7]! ^= 0x01;
  await expect(
    readStageBlobs({ ...request, blobs: new Map([...request.blobs, [digest, new Blob([bytes])]]) }, realClock),
  ).rejects.toMatchObject({ code: 'digest-mismatch', details: { damaged: [{ digest, pieces: [0] }] } });
});

test('a stage beyond the model is refused', async () => {
  const range: StageRange = { start: 6, end: 9, embedding: false, head: false };
  const request = { ...requestFor(middle), range };
  await expect(readStageBlobs(request, realClock)).rejects.toMatchObject({ code: 'bad-manifest' });
});
