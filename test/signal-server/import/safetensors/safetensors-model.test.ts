import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { cutStage } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import { encodeModel } from '#shared/model/onnx-file.ts';
import { formatReport, importModel } from '../../../../signal-server/import/import-model.ts';
import { openModel, type OpenedModel } from '../../../../signal-server/import/open-model.ts';
import { quantizeBlocks, type RoundedType } from '../../../../signal-server/import/safetensors/quantize-blocks.ts';
import { GGUF_BLOCKS, isGgufType } from '#shared/model/gguf-weight.ts';
import { encodeF16 } from '#shared/model/f16.ts';
import { loadEngineGraph } from '../../../../worker/engine/engine-graph.ts';
import { loadEngineModule } from '../../../../worker/engine/engine-module.ts';
import { weightsInMemory } from '../../../../worker/engine/weight-source.ts';
import { decoderLogits } from '../../../support/decoder-reference.ts';
import { writeGgufModel, type GgufModel } from '../../../support/gguf-model.ts';
import { safetensorsModel, writeSafetensorsModel, type SafetensorsModel } from '../../../support/safetensors-model.ts';

let scratch: string;
let made = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-safetensors-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const open = (path: string, quant?: string) =>
  openModel(path, { quant, maxPositions: 64, onReading: () => undefined }, []);

async function folderOf(model: SafetensorsModel, files = 1): Promise<string> {
  const folder = join(scratch, `model-${made++}`);
  await writeSafetensorsModel(folder, model, files);
  return folder;
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function weightsOf({ file }: OpenedModel): Map<string, Uint8Array> {
  const weights = file.model.graph.initializer.map((tensor) => [tensor.name, file.read(tensor)] as const);
  file.close();
  return new Map(weights);
}

/** Digests of everything that a model is computed from: the graph and each weight's bytes. */
function contents(opened: OpenedModel): Record<string, string> {
  const weights = [...weightsOf(opened)].map(([name, bytes]) => [name, digest(bytes)] as const);
  return { graph: digest(encodeModel(opened.file.model)), ...Object.fromEntries(weights) };
}

/** The GGUF file of the same model with its matrices in these types. */
async function ggufOf(model: GgufModel, layers: RoundedType | 'F16' | 'F32', tables: typeof layers): Promise<string> {
  const tensors = model.tensors.map((tensor) => {
    const type = /^(token_embd|output)\./.test(tensor.name) ? tables : layers;
    if (tensor.dims.length < 2 || type === 'F32') return tensor;
    const values = new Float32Array(tensor.bytes().slice().buffer);
    if (!isGgufType(type)) return { ...tensor, type, bytes: () => encodeF16(values) };
    const blocks = new Uint8Array((values.length / 32) * GGUF_BLOCKS[type].bytes);
    quantizeBlocks(type, values, blocks, { error: 0, power: 0 });
    return { ...tensor, type, bytes: () => blocks };
  });
  const path = join(scratch, `model-${made++}.gguf`);
  await writeGgufModel(path, { ...model, tensors });
  return path;
}

const llama3 = {
  type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
};
/** As llama.cpp's converter reckons them. */
const factors = Array.from({ length: 32 }, (_, i) => {
  const length = 2 * Math.PI * 10_000 ** (i / 32);
  if (length < 64 / 4) return 1;
  if (length > 64) return 8;
  const smooth = (64 / length - 1) / 3;
  return Math.fround(1 / ((1 - smooth) / 8 + smooth));
});

const kinds = [
  ['fp32', 'F32', 'F32', null],
  ['fp16', 'F16', 'F16', null],
  ['q8', 'Q8_0', 'Q8_0', null],
  ['q4', 'Q4_0', 'Q8_0', null],
  ['q4_1', 'Q4_1', 'Q8_0', 'wasm'],
  ['q5_0', 'Q5_0', 'Q8_0', 'wasm'],
  ['q5_1', 'Q5_1', 'Q8_0', 'wasm'],
] as const;

test.each([
  ...kinds.map((kind) => ['llama', false, ...kind] as const),
  ['qwen2', true, ...kinds[2]] as const,
  ['qwen3', false, ...kinds[3]] as const,
])(
  'a %s in safetensors (table for head: %s) as %s has the graph and the bits of a GGUF file of %s and %s',
  async (family, isTied, quant, layers, tables, onlyOn) => {
    const rope = family === 'llama' ? { rope_scaling: llama3 } : {};
    const model = safetensorsModel(family, ['F32'], isTied, rope, family === 'llama' ? factors : null);
    const own = await open(await folderOf(model), quant);
    const other = await open(await ggufOf(model.gguf, layers, tables));
    expect([own.onlyOn, other.onlyOn]).toEqual([onlyOn, onlyOn]);
    expect(contents(own)).toEqual(contents(other));
  },
);

test('F16 and BF16 in several files are read as the numbers that they are', async () => {
  const model = safetensorsModel('qwen3', ['BF16', 'F16', 'F32'], false);
  const opened = await open(await folderOf(model, 3), 'fp32');
  const exact = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const weights = weightsOf(opened);
  for (const [name, { type, bytes }] of exact) {
    const [values, found] = [new Float32Array(weights.get(name)!.slice().buffer), bytes];
    const narrow = {
      F32: () => new Uint8Array(values.buffer),
      F16: () => encodeF16(values),
      BF16: () => new Uint8Array(Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16).buffer),
    }[type]();
    expect(digest(narrow)).toBe(digest(found));
    expect(type !== 'BF16' || new Uint32Array(values.buffer).every((word) => (word & 0xffff) === 0)).toBe(true);
  }
  expect(opened.file.paths).toEqual([
    ...[1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`),
    'model.safetensors.index.json',
  ]);
});

test(
  'without a wish weights have 8 bits, and manifest and report say what was lost of each',
  { timeout: 60_000 },
  async () => {
    const model = safetensorsModel('llama', ['BF16', 'F32'], true);
    const dataFolder = join(scratch, 'data');
    const { manifest, report } = await importModel(await folderOf(model, 2), {
      dataFolder,
      maxPositions: 64,
      onProgress: () => undefined,
    });
    expect(manifest.pins).toMatchObject({ quantization: 'q8_0', blockSize: 32 });
    expect(manifest.pins.onlyOn).toBeUndefined();
    expect(manifest.config).toMatchObject({ architecture: 'LlamaForCausalLM', endTokens: [2], maxPositions: 64 });
    expect(manifest.source.files.length).toBe(6);
    const rounded = manifest.parts.flatMap(({ weights }) =>
      weights.filter((weight) => weight.relativeError !== undefined),
    );
    expect(rounded.length).toBe(1 + 2 * 7);
    for (const { relativeError } of rounded) {
      expect(relativeError).toBeGreaterThan(0.003);
      expect(relativeError).toBeLessThan(0.008);
    }
    expect(report.rounding.map(({ part, tensors }) => `${part} ${tensors.map(({ label }) => label).join()}`)).toEqual([
      'embedding embed_tokens',
      ...[0, 1].map((i) => `layer.${i} q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj`),
    ]);
    expect(formatReport(report)).toMatch(
      /rounding, as a share.*\n {2}part +tensors\n {2}embedding +embed_tokens 0\.\d\d %\n/,
    );

    const blob = (digest: Digest) => new Uint8Array(readFileSync(join(dataFolder, 'blobs', digest)));
    const range = { start: 0, end: 2, embedding: true, head: true };
    const cut = cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
    const { hiddenSize, vocabularySize } = manifest.config;
    const engine = await loadEngineGraph({
      module: await loadEngineModule(),
      plan: planStage({ ...cut, hiddenSize, vocabularySize }),
      weights: weightsInMemory(cut.read),
      vocabularySize,
    });
    const tokens = [1, 40, 7, 33, 12];
    const session = await engine.open(16);
    const logits = await session.forward(0, 5, Uint32Array.from(tokens), [0, 1, 2, 3, 4]);
    const expected = decoderLogits(model.gguf.shape, model.gguf.weight, tokens).flatMap((row) => [...row]);
    const spread = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length);
    // What 8 bits cost these weights.
    expect(Math.max(...expected.map((value, i) => Math.abs(value - logits[i]!))) / spread).toBeLessThan(0.1);
  },
);

test('the links of a cache’s snapshot are followed', async () => {
  const model = safetensorsModel('qwen2', ['BF16'], true);
  const repository = join(scratch, 'models--owner--name');
  const snapshot = join(repository, 'snapshots', 'a'.repeat(40));
  await writeSafetensorsModel(join(repository, 'blobs'), model, 2);
  await mkdir(snapshot, { recursive: true });
  for (const [i, name] of (await readdir(join(repository, 'blobs'))).entries()) {
    await rename(join(repository, 'blobs', name), join(repository, 'blobs', `${i}`));
    await symlink(join('..', '..', 'blobs', `${i}`), join(snapshot, name));
  }
  const opened = await open(snapshot);
  expect(weightsOf(opened).size).toBeGreaterThan(20);
});

test('a folder with a graph too is read by its graph, one with a GGUF file too by that', async () => {
  const model = safetensorsModel('llama', ['F32'], true);
  const folder = await folderOf(model);
  await writeGgufModel(join(folder, 'tiny-F32.gguf'), model.gguf);
  expect((await open(folder)).name).toBe('tiny-F32.gguf');
  await writeFile(join(folder, 'model.onnx'), new Uint8Array(8));
  await expect(open(folder)).rejects.toThrow(/model/);
});
