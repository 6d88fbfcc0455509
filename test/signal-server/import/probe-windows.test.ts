import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BlobRef } from '#shared/model/manifest.ts';
import { addProbe } from '../../../signal-server/import/add-probe.ts';
import { BlobWriter } from '../../../signal-server/import/blob-writer.ts';
import { importModel } from '../../../signal-server/import/import-model.ts';
import { windowModel } from '../../../signal-server/import/probe/vocabulary-window.ts';
import { repetitions } from '../../support/effort.ts';
import { ggufModel, writeGgufModel } from '../../support/gguf-model.ts';
import { sharedReference } from '../../support/shared-reference.ts';
import { syntheticShapes, writeSyntheticFolder } from '../../support/synthetic-models.ts';

const reference = sharedReference();
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-windows-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const gguf =
  (name: string, ...types: Parameters<typeof ggufModel>[1]) =>
  async () => {
    const path = join(scratch, `${name}.gguf`);
    await writeGgufModel(path, ggufModel('llama', types));
    return path;
  };
const graph = (shape: keyof typeof syntheticShapes) => async () => {
  const path = join(scratch, shape);
  await writeSyntheticFolder(path, syntheticShapes[shape]);
  return path;
};

const tables = [
  ['of four bits that the embedding reads by another shape', graph('llamaQ4')],
  ['of floats, transposed for the head', graph('smolFp32')],
  ['of halves, transposed for the head', graph('qwenFp16')],
  ['of eight bits with zero points', graph('llamaQ8')],
  ['of Q8_0 that is also the head', gguf('eight', 'Q8_0')],
  ['of a GGUF file’s blocks, with a head of its own', gguf('blocks', 'Q4_K', 'Q6_K')],
] as const;

test.each(tables.slice(0, repetitions(2, tables.length)))(
  'a table %s gives the probe the values in windows that it gives whole',
  { timeout: 120_000 },
  async (_, write) => {
    const dataFolder = join(scratch, 'data');
    const path = await write();
    const { manifest } = await importModel(path, { dataFolder, reference, onProgress: () => undefined });
    const { hiddenSize, vocabularySize, layers } = manifest.config;
    const read = async (blob: BlobRef) => {
      const bytes = await readFile(join(dataFolder, 'blobs', blob.digest));
      return new Float32Array(new Uint8Array(bytes).buffer);
    };
    // Neither is a whole part of the vocabulary.
    const windowBytes = 4 * hiddenSize * 23;
    const probed = await addProbe(manifest, new BlobWriter(join(dataFolder, 'blobs')), {
      dataFolder,
      windowBytes,
      reference,
      onProgress: () => undefined,
    });
    expect(probed.probe.boundaries).toEqual(manifest.probe.boundaries);
    const [whole, windowed] = [await read(manifest.probe.logits), await read(probed.probe.logits)];
    const largest = whole.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(windowed.length).toBe(whole.length);
    expect(Math.max(...whole.map((value, i) => Math.abs(value - windowed[i]!))) / largest).toBeLessThan(1e-6);

    const range = { start: layers, end: layers, embedding: false, head: true };
    let most = 0;
    const graphBytes = new Uint8Array(await readFile(join(dataFolder, 'blobs', manifest.graph.digest)));
    const model = await windowModel(
      manifest,
      graphBytes,
      range,
      [{ from: 5, count: 7 }],
      async (blob, offset, length) => {
        most = Math.max(most, length);
        return new Uint8Array(
          (await readFile(join(dataFolder, 'blobs', blob.digest))).subarray(offset, offset + length),
        );
      },
    );
    expect(model).not.toBeNull();
    // No more of the table is read than is asked for.
    expect(most).toBeLessThanOrEqual(4 * hiddenSize * 7);
    expect(vocabularySize).toBeGreaterThan(46);
  },
);
