import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Digest } from '#shared/ids.ts';
import { cutStage, stageGraph } from '#shared/model/cut.ts';
import { planStage } from '#shared/model/engine/plan-stage.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { formatReport, importModel, type ImportedModel } from '../../../../signal-server/import/import-model.ts';
import { loadEngineGraph } from '../../../../worker/engine/engine-graph.ts';
import { loadEngineModule } from '../../../../worker/engine/engine-module.ts';
import { weightsInMemory } from '../../../../worker/engine/weight-source.ts';
import { loadGraph, type LoadedGraph } from '../../../../worker/loaded-graph.ts';
import { loadRuntime } from '../../../../worker/runtime.ts';
import { decoderLogits } from '../../../support/decoder-reference.ts';
import { ggufModel, writeGgufModel, type GgufModel } from '../../../support/gguf-model.ts';
import { sharedReference } from '../../../support/shared-reference.ts';

const reference = sharedReference();
let scratch: string;
let files = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-gguf-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const tokens = [1, 40, 7, 33, 12];

async function imported(model: GgufModel): Promise<ImportedModel & { dataFolder: string }> {
  const path = join(scratch, `Tiny ${files++}.Q4_K_M.gguf`);
  await writeGgufModel(path, model);
  const dataFolder = join(scratch, 'data');
  const options = { dataFolder, reference, maxPositions: 64, onProgress: () => undefined };
  return { ...(await importModel(path, options)), dataFolder };
}

const cutOf = ({ manifest, dataFolder }: Awaited<ReturnType<typeof imported>>, range: StageRange) => {
  const blob = (digest: Digest) => new Uint8Array(readFileSync(join(dataFolder, 'blobs', digest)));
  return cutStage({ manifest, graph: blob(manifest.graph.digest), range, blob });
};

const whole: StageRange = { start: 0, end: 2, embedding: true, head: true };
const halves: readonly StageRange[] = [
  { start: 0, end: 1, embedding: true, head: false },
  { start: 1, end: 2, embedding: false, head: true },
];

async function inEngine(model: Awaited<ReturnType<typeof imported>>, range: StageRange): Promise<LoadedGraph> {
  const { hiddenSize, vocabularySize } = model.manifest.config;
  const cut = cutOf(model, range);
  const plan = planStage({ ...cut, hiddenSize, vocabularySize });
  return loadEngineGraph({
    module: await loadEngineModule(),
    plan,
    weights: weightsInMemory(cut.read),
    vocabularySize,
  });
}

/** All logits, through one stage after the other. */
async function logitsOf(stages: readonly LoadedGraph[]): Promise<Float32Array> {
  let rows: Uint32Array | Float32Array = Uint32Array.from(tokens);
  for (const stage of stages) {
    const session = await stage.open(16);
    rows = (
      await session.forward(
        0,
        tokens.length,
        rows,
        tokens.map((_, i) => i),
      )
    ).slice();
  }
  return rows as Float32Array;
}

/** The largest difference, as a share of how far the expected logits spread. */
function differenceOf(logits: Float32Array, { shape, weight }: GgufModel): number {
  const expected = decoderLogits(shape, weight, tokens).flatMap((row) => [...row]);
  const mean = expected.reduce((sum, value) => sum + value, 0) / expected.length;
  const spread = Math.sqrt(expected.reduce((sum, value) => sum + (value - mean) ** 2, 0) / expected.length);
  expect(logits.length).toBe(expected.length);
  return Math.max(...expected.map((value, i) => Math.abs(value - logits[i]!))) / spread;
}

const factors = Array.from({ length: 32 }, (_, i) => (i < 16 ? 1 : 1 + i / 8));
const cases = [
  {
    label: 'a llama of Q4_K, Q6_K and Q5_K with slower angles',
    model: ggufModel('llama', ['Q4_K', 'Q6_K', 'Q5_K'], factors),
    onlyOn: 'wasm',
  },
  {
    label: 'a qwen2 of Q4_1, Q5_0, Q5_1 and F16',
    model: ggufModel('qwen2', ['Q4_1', 'Q5_0', 'Q5_1', 'F16']),
    onlyOn: 'wasm',
  },
  { label: 'a qwen3 of Q8_0 whose head is its table', model: ggufModel('qwen3', ['Q8_0']), onlyOn: undefined },
  { label: 'a llama of F16, Q4_0 and BF16', model: ggufModel('llama', ['F16', 'Q4_0', 'BF16']), onlyOn: undefined },
] as const;

describe.each(cases)('$label', { timeout: 60_000 }, ({ model, onlyOn }) => {
  let subject: Awaited<ReturnType<typeof imported>>;
  beforeAll(async () => {
    subject = await imported(model);
  }, 60_000);

  test('computes what its weights say in double precision, in the engine and in the runtime', async () => {
    expect(subject.report.engine).toBeNull();
    const engine = await inEngine(subject, whole);
    expect(differenceOf(await logitsOf([engine]), model)).toBeLessThan(3e-3);
    const folded = stageGraph(cutOf(subject, whole), true);
    const runtime = await loadGraph(
      { runtime: await loadRuntime('wasm'), device: null },
      folded,
      subject.manifest.config,
    );
    expect(differenceOf(await logitsOf([runtime]), model)).toBeLessThan(1e-4);
  });

  test('has the same bits in two stages as in one', async () => {
    const [one, two] = [
      await logitsOf([await inEngine(subject, whole)]),
      await logitsOf([await inEngine(subject, halves[0]!), await inEngine(subject, halves[1]!)]),
    ];
    expect(two).toEqual(one);
  });

  test('says where it runs, and is never given to a device whose kernels would compute with other weights', () => {
    const { manifest, report } = subject;
    expect(manifest.pins.onlyOn).toBe(onlyOn);
    const text = formatReport(report);
    const asItIs = () => stageGraph(cutOf(subject, whole), false);
    if (onlyOn === undefined) {
      expect(text).toContain('Graphics devices and processors run it.');
      expect(asItIs().weightBytes).toBeGreaterThan(0);
    } else {
      expect(text).toContain('Processors alone run it');
      const card = readFileSync(join(subject.dataFolder, 'blobs', manifest.card!.digest), 'utf8');
      expect(card).toContain('Processors alone run it');
      expect(asItIs).toThrow('only the engine on a processor');
    }
  });
});

test('the manifest says what the file does', { timeout: 60_000 }, async () => {
  const { manifest, report } = await imported(cases[2].model);
  expect(manifest).toMatchObject({ licence: 'apache-2.0', description: 'A tiny model, imported from a GGUF file.' });
  expect(manifest.name).toBe('tiny-4.q4_k_m');
  expect(manifest.config).toMatchObject({
    ...{ architecture: 'Qwen3ForCausalLM', layers: 2, endTokens: [2, 0], maxPositions: 64 },
  });
  expect(manifest.pins).toMatchObject({ quantization: 'q8_0', blockSize: 32 });
  expect(manifest.source.files.map(({ name }) => name)).toEqual(['Tiny 4.Q4_K_M.gguf']);
  const layer = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 256 + 2 * 256 + 2 * 64;
  expect(manifest.parameters).toBe(2 * layer + 64 * 256 + 256);
  expect(report.warnings).toEqual(['positions are limited to 64 of 512']);
});
