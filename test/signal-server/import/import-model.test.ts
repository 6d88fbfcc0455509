import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAX_MANIFEST_BYTES } from '#shared/limits.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import { formatReport, importModel, type ImportOptions } from '../../../signal-server/import/import-model.ts';
import { importWren } from '../../support/imported-wren.ts';
import { sharedReference } from '../../support/shared-reference.ts';
import { syntheticShapes, writeSyntheticFolder, type SyntheticShape } from '../../support/synthetic-models.ts';

const reference = sharedReference();
let scratch: string;
let folders = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-import-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function syntheticFolder(shape: SyntheticShape): Promise<string> {
  const folder = join(scratch, `Some Model ${folders++}`);
  await writeSyntheticFolder(folder, shape);
  return folder;
}

const importInto = (folder: string, options: Partial<ImportOptions> = {}) =>
  importModel(folder, { dataFolder: join(scratch, 'data'), reference, onProgress: () => undefined, ...options });

describe('the manifest of Wren', { timeout: 90_000 }, () => {
  test('tells what the model is and what its numbers depend on', async () => {
    const { manifest } = await importWren();
    expect(manifestSchema.parse(JSON.parse(JSON.stringify(manifest)))).toEqual(manifest);
    expect(JSON.stringify(manifest).length).toBeLessThan(MAX_MANIFEST_BYTES / 100);
    expect(manifest).toMatchObject({ name: 'wren', licence: 'mit', parameters: 6_033_664, minStages: 2 });
    expect(manifest.description).toMatch(/^Wren is a very small language model/);
    expect(manifest.config).toMatchObject({ layers: 8, hiddenSize: 256, kvHeads: 4, headSize: 32, maxPositions: 512 });
    expect(manifest.config.endTokens).toEqual([2, 0]);
    expect(manifest.pins).toMatchObject({ runtimeVersion: '1.30.0', quantization: 'q4', blockSize: 32, kv: 'float32' });
  });

  test('names blobs that are there, digest by digest and piece by piece', async () => {
    const { manifest, blob: readBlob } = await importWren();
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    const whole = { start: 0, end: 8, embedding: true, head: true };
    const { tokenizer, config } = manifest.tokenizer;
    for (const blob of [
      ...stageBlobs(manifest, whole),
      ...manifest.probe.boundaries,
      tokenizer,
      config,
      manifest.card!,
    ]) {
      const bytes = readBlob(blob.digest);
      expect(bytes.length).toBe(blob.bytes);
      expect(sha256(bytes)).toBe(blob.digest);
      expect(blob.pieces.map((_, i) => sha256(bytes.subarray(i * 2 ** 20, (i + 1) * 2 ** 20)))).toEqual(blob.pieces);
    }
  });

  test('has no weight in two places', async () => {
    const { manifest } = await importWren();
    const names = manifest.parts.flatMap((part) => part.weights.map((weight) => weight.name));
    expect(new Set(names).size).toBe(names.length);
    const bytes = manifest.parts.reduce((sum, part) => sum + part.blob.bytes, 0);
    expect(bytes).toBeLessThan(6_000_000);
  });
});

describe('an imported folder', { timeout: 90_000 }, () => {
  test('gives the same manifest each time, byte for byte, with one table for embedding and head', async () => {
    const folder = await syntheticFolder(syntheticShapes.llamaQ4);
    const [first, second] = [
      await importInto(folder),
      // By a thread of its own.
      await importInto(folder, { dataFolder: join(scratch, 'other'), reference: undefined }),
    ];
    expect(second.digest).toBe(first.digest);
    const head = first.manifest.parts.find((part) => part.name === 'head')!;
    expect(head.uses).toEqual(['embedding']);
    expect(head.blob.bytes).toBeLessThan(1000);
  });

  test('with positions as an input has layers that need no tokens', async () => {
    const { manifest } = await importInto(await syntheticFolder(syntheticShapes.qwenFp16));
    expect(manifest.parts.find((part) => part.name === 'layer.1')!.uses).toEqual(['common']);
    expect(manifest.pins).toMatchObject({ kv: 'float16', quantization: 'fp16', blockSize: 0 });
  });

  test('gets a name fit for a manifest, caches cut to the positions offered, and its template beside the tokenizer', async () => {
    const folder = await syntheticFolder(syntheticShapes.smolFp32);
    await writeFile(join(folder, 'chat_template.jinja'), '{{ messages }}');
    const { manifest, report } = await importInto(folder, { maxPositions: 48 });
    expect(manifest.name).toMatch(/^some-model-\d+$/);
    expect(manifest.config.maxPositions).toBe(48);
    expect(report.warnings).toContain('positions are limited to 48 of 128');
    const caches = manifest.parts.find((part) => part.name === 'common')!.weights;
    expect(caches.map((weight) => weight.dims[0])).toEqual([48, 48]);
    expect(manifest.parts.find((part) => part.name === 'head')!.uses).toEqual(['embedding']);
    const config = await readFile(join(scratch, 'data/blobs', manifest.tokenizer.config.digest), 'utf8');
    expect(JSON.parse(config)).toEqual({ chat_template: '{{ messages }}' });
  });

  test('becomes fp32 where it has no such file, and the report says so', async () => {
    const folder = await syntheticFolder(syntheticShapes.llamaQ4);
    const { manifest, report } = await importInto(folder, { quant: 'fp32' });
    expect(manifest.pins).toMatchObject({ quantization: 'fp32', blockSize: 0 });
    expect(manifest.parts.flatMap((part) => part.weights).every((weight) => weight.type === 'float32')).toBe(true);
    expect(report.warnings.join()).toContain('model_q4.onnx (q4) were converted');
  });

  test('loses an accuracy level that would round activations, and is reported on', async () => {
    const seen: { label: string; done: number; total: number }[] = [];
    const folder = await syntheticFolder(syntheticShapes.smolQ4ZeroPoints);
    const { manifest, report } = await importInto(folder, { onProgress: (progress) => seen.push(progress) });
    expect(manifest.pins.accuracyLevel).toBe(0);
    expect(seen.length).toBeGreaterThan(10);
    expect(seen.at(-1)).toEqual({ label: 'imported', done: 1, total: 1 });
    const text = formatReport(report);
    expect(text).toMatch(/com\.microsoft\.MatMulNBits +\d+ +yes +yes/);
    expect(text).toMatch(/Shape +1 +yes +on the CPU/);
    expect(text).toMatch(/layer\.3 +\d+ +[\d.]+ kB/);
    expect(text).toMatch(/quantization +q4/);
    expect(text).toContain('warning: accuracy_level 4');
  });

  test('leaves no unfinished blob behind', async () => {
    const names = await readdir(join(scratch, 'data/blobs'));
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !/^[0-9a-f]{64}$/.test(name))).toEqual([]);
  });
});
