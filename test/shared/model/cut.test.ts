import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { cutStage, stageGraph, stageParts } from '#shared/model/cut.ts';
import type { ProductForm } from '#shared/model/fold.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { openGraphFile } from '../../../signal-server/import/graph-file.ts';
import { importModel } from '../../../signal-server/import/import-model.ts';
import { readModelFolder } from '../../../signal-server/import/model-folder.ts';
import type { Backend } from '../../../worker/loaded-graph.ts';
import { loadRuntime } from '../../../worker/runtime.ts';
import { isThorough } from '../../support/effort.ts';
import { importWren } from '../../support/imported-wren.ts';
import { sharedReference } from '../../support/shared-reference.ts';
import { syntheticShapes, writeSyntheticFolder, type SyntheticShape } from '../../support/synthetic-models.ts';
import { greedyTokens, loadStages, loadUncut, type RunnableModel } from '../../support/uncut-model.ts';

const GREEDY = 12;

/** `count` stages of nearly equal length, embedding and head in the outer ones. */
function evenCut(layers: number, count: number): StageRange[] {
  return Array.from({ length: count }, (_, i) => ({
    start: Math.floor((i * layers) / count),
    end: Math.floor(((i + 1) * layers) / count),
    embedding: i === 0,
    head: i === count - 1,
  }));
}

/** As `evenCut`, but with embedding and head as stages of their own. */
function looseCut(layers: number, count: number): StageRange[] {
  return [
    { start: 0, end: 0, embedding: true, head: false },
    ...evenCut(layers, count).map((range) => ({ ...range, embedding: false, head: false })),
    { start: layers, end: layers, embedding: false, head: true },
  ];
}

const reference = sharedReference();
let backend: Backend;
let scratch: string;
beforeAll(async () => {
  backend = { runtime: await loadRuntime('wasm'), device: null };
  scratch = await mkdtemp(join(tmpdir(), 'chorus-cut-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Between attention by the runtime's own kernel and by its parts, in float32. */
const ROUNDING = 1e-5;

/** Compares every cut of an imported model with the published graph run whole: its tokens, and its numbers up to `tolerance`. */
async function expectCutsToAgree(
  { manifest, dataFolder, folder, file }: { manifest: Manifest; dataFolder: string; folder: string; file: string },
  { form, fold, tolerance }: { form: ProductForm | null; fold: boolean; tolerance: number },
): Promise<Float32Array> {
  const { config } = manifest;
  const prompt = manifest.probe.tokens.slice(0, 7);
  const published = await openGraphFile(await readModelFolder(folder), file);
  const uncut = await loadUncut(backend.runtime, published.model, published.read, form, config);
  published.close();
  const expected = await uncut.forward(prompt);
  const tokens = await greedyTokens(uncut, prompt, GREEDY);
  await uncut.release();
  expect(new Set(tokens).size).toBeGreaterThan(1);

  const blobs = new Map<Digest, Uint8Array<ArrayBuffer>>();
  for (const { digest } of [manifest.graph, ...manifest.parts.map((part) => part.blob)]) {
    blobs.set(digest, new Uint8Array(await readFile(join(dataFolder, 'blobs', digest))));
  }
  const blob = (digest: Digest) => blobs.get(digest)!;
  const counts = [...new Set(isThorough ? [1, 2, 3, config.layers] : [config.layers])];
  for (const cut of [...counts.map((count) => evenCut(config.layers, count)), looseCut(config.layers, 2)]) {
    const stages = cut.map((range) =>
      stageGraph(cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob }), fold),
    );
    const starts = cut.map((range) => range.start);
    const model: RunnableModel = await loadStages(backend, stages, starts, config.layers + 1, config);
    const actual = await model.forward(prompt);
    const label = `${cut.length} stages`;
    const pairs = starts.slice(1).map((start) => [actual.boundaries[start]!, expected.boundaries[start]!] as const);
    for (const [ours, theirs] of [...pairs, [actual.logits, expected.logits] as const]) {
      if (tolerance === 0) expect(bytesOf(ours).equals(bytesOf(theirs)), label).toBe(true);
      else expect(relativeDifference(ours, theirs), label).toBeLessThan(tolerance);
    }
    expect(await greedyTokens(model, prompt, GREEDY), label).toEqual(tokens);
    await model.release();
  }
  return expected.logits;
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  const length = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return length(actual.map((value, i) => value - expected[i]!)) / length(expected);
}

describe('Wren, cut anywhere, gives the hidden states and greedy tokens of the uncut graph', () => {
  test.each([
    ['q4 as it is published', 'q4', 'q4', null, false, 0],
    ['q4 converted for WASM', 'q4', 'q4', 'fused', true, 0],
    ['q8 converted for WASM', 'q8', 'q8', 'fused', true, 0],
    ['fp32 made of q8', 'fp32', 'q8', 'plain', true, ROUNDING],
  ] as const)('%s', { timeout: 180_000 }, async (_, quant, source, form, fold, tolerance) => {
    const { manifest, dataFolder } = await importWren(quant);
    const file = `onnx/model_${source}.onnx`;
    await expectCutsToAgree({ manifest, dataFolder, folder: 'models/wren', file }, { form, fold, tolerance });
  });
});

describe('a graph of the builder family, cut anywhere, gives the hidden states and greedy tokens of the uncut graph', () => {
  test.each(Object.entries<SyntheticShape>(syntheticShapes))('%s', { timeout: 180_000 }, async (key, shape) => {
    const folder = join(scratch, key);
    const dataFolder = join(scratch, `${key}-data`);
    await writeSyntheticFolder(folder, shape);
    const { manifest } = await importModel(folder, { dataFolder, reference, onProgress: () => undefined });
    const model = { manifest, dataFolder, folder, file: `onnx/model${shape.suffix}.onnx` };
    const folded = await expectCutsToAgree(model, { form: 'fused', fold: true, tolerance: 0 });
    // The result that the runtime's own kernels make of the quantized weights; level 4 rounds activations to 8 bits besides.
    const kernels = shape.accuracyLevel === 4 ? 0.05 : shape.type === 'float16' ? 0.01 : ROUNDING;
    const unfolded = await expectCutsToAgree(model, {
      form: null,
      fold: false,
      tolerance: kernels === ROUNDING ? 0 : kernels,
    });
    expect(relativeDifference(unfolded, folded)).toBeLessThan(kernels);
  });
});

test('a stage lists each part it reads once, with the shared caches and the table tied to its head', async () => {
  const { manifest } = await importWren();
  const names = (range: StageRange) => stageParts(manifest, range).map((part) => part.name);
  expect(names({ start: 0, end: 0, embedding: true, head: false })).toEqual(['embedding']);
  expect(names({ start: 2, end: 4, embedding: false, head: false })).toEqual(['layer.2', 'layer.3', 'common']);
  expect(names({ start: 8, end: 8, embedding: false, head: true })).toEqual(['head']);
});
