import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { encodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import { importModel } from '../../../signal-server/import/import-model.ts';
import { hostileChanges } from '../../support/hostile-models.ts';
import {
  buildSyntheticModel,
  syntheticShapes,
  writeSyntheticFolder,
  type SyntheticShape,
} from '../../support/synthetic-models.ts';

const shape: SyntheticShape = { ...syntheticShapes.llamaQ4, layers: 2, tied: 'no', dataFiles: 0 };
const graphFile = 'onnx/model_q4.onnx';
let scratch: string;
let folders = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-hostile-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function soundFolder(files: 0 | 1 = 0): Promise<string> {
  const folder = join(scratch, `model-${folders++}`);
  await writeSyntheticFolder(folder, { ...shape, dataFiles: files });
  return folder;
}

async function refusal(folder: string): Promise<ChorusError> {
  const importing = importModel(folder, { dataFolder: join(scratch, 'data'), onProgress: () => undefined });
  const error: unknown = await importing.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ChorusError) return error;
  throw new Error(`not refused with a code: ${String(error)}`);
}

describe('a model is refused that has', { timeout: 60_000 }, () => {
  test.each(hostileChanges)('$what', async ({ code, spoil }) => {
    const model = buildSyntheticModel(shape);
    spoil(model);
    const folder = await soundFolder();
    await writeFile(join(folder, graphFile), encodeModel(model));
    expect(await refusal(folder)).toMatchObject({ code });
  });
});

describe('a folder is refused', { timeout: 60_000 }, () => {
  const moved = (change: (entries: Map<string, string>) => void) => async (folder: string) => {
    const model = buildSyntheticModel(shape);
    await writeSyntheticFolder(folder, { ...shape, dataFiles: 1 }, model);
    spoilLocation(model, change);
    await writeFile(join(folder, graphFile), encodeModel(model));
  };
  const cases: readonly (readonly [string, (folder: string) => Promise<unknown>])[] = [
    ['that is not there', (folder) => rm(folder, { recursive: true })],
    ['without config.json', (folder) => rm(join(folder, 'config.json'))],
    ['whose config.json is not JSON', (folder) => writeFile(join(folder, 'config.json'), '{')],
    [
      'whose config.json has a million layers',
      (folder) => writeFile(join(folder, 'config.json'), configWith({ num_hidden_layers: 1e6 })),
    ],
    [
      'whose config.json tells of another vocabulary',
      (folder) => writeFile(join(folder, 'config.json'), configWith({ vocab_size: 161 })),
    ],
    [
      'whose config.json tells of another head size',
      (folder) => writeFile(join(folder, 'config.json'), configWith({ head_dim: 32 })),
    ],
    ['whose tokenizer.json is not JSON', (folder) => writeFile(join(folder, 'tokenizer.json'), 'no')],
    ['whose tokenizer.json is a folder', (folder) => replaced(folder, 'tokenizer.json', (path) => mkdir(path))],
    [
      'whose tokenizer.json is a link that leads outside',
      (folder) => replaced(folder, 'tokenizer.json', (path) => symlink('/etc/hostname', path)),
    ],
    ['whose tokenizer.json is absurdly large', (folder) => truncate(join(folder, 'tokenizer.json'), 2 ** 30)],
    ['whose weights lie above it', moved((entries) => entries.set('location', '../../outside'))],
    ['whose weights lie at an absolute path', moved((entries) => entries.set('location', '/etc/hostname'))],
    ['whose weights lie behind backslashes', moved((entries) => entries.set('location', '..\\outside'))],
    ['whose weights lie nowhere', moved((entries) => entries.delete('location'))],
    ['whose weights lie in a folder', moved((entries) => entries.set('location', '.'))],
    ['whose weights are missing', (folder) => rm(join(folder, `${graphFile}_data`))],
    [
      'whose weights are a link that leads outside',
      (folder) => replaced(folder, `${graphFile}_data`, (path) => symlink('/etc/hostname', path)),
    ],
    ['whose weights are cut short', (folder) => truncate(join(folder, `${graphFile}_data`), 1000)],
    ['with a weight before the start of its file', moved((entries) => entries.set('offset', '-64'))],
    ['with a weight beyond the end of its file', moved((entries) => entries.set('offset', '999999999'))],
    ['with a weight at an offset that is no number', moved((entries) => entries.set('offset', '1e3'))],
    ['with a weight longer than its shape', moved((entries) => entries.set('length', '99999999999'))],
    ['whose graph is cut short', (folder) => truncate(join(folder, graphFile), 3000)],
  ];
  test.each(cases)('%s', async (_, spoil) => {
    const folder = await soundFolder(1);
    await spoil(folder);
    expect(await refusal(folder)).toMatchObject({ code: 'bad-model' });
  });

  test('without a graph of the wished quantization, naming what it has', async () => {
    const folder = await soundFolder();
    const importing = importModel(folder, {
      quant: 'q8',
      dataFolder: join(scratch, 'data'),
      onProgress: () => undefined,
    });
    await expect(importing).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringContaining(graphFile) as string,
    });
  });
});

test('a layer whose weights all point at one huge file is refused before any of it is read', async () => {
  const folder = await soundFolder(1);
  const model = buildSyntheticModel(shape);
  await writeSyntheticFolder(folder, { ...shape, dataFiles: 1 }, model);
  const large = model.graph.initializer.filter(({ name }) =>
    /layers\.0\..*(gate|up|down)_proj.*(quant|Q4|qweight)/i.test(name),
  );
  expect(large.length).toBeGreaterThan(2);
  for (const tensor of large) {
    tensor.dims = [2n ** 15n, 2n ** 15n];
    const place = { offset: '0', length: String(2 ** 30) };
    for (const entry of tensor.externalData) entry.value = place[entry.key as keyof typeof place] ?? entry.value;
  }
  await writeFile(join(folder, graphFile), encodeModel(model));
  await truncate(join(folder, `${graphFile}_data`), 2 ** 30);
  expect(await refusal(folder)).toMatchObject({
    code: 'bad-model',
    message: expect.stringContaining('layer.0') as string,
  });
});

test('a refused model names the node and why', async () => {
  const folder = await soundFolder();
  const model = buildSyntheticModel(shape);
  model.graph.node.find((node) => node.opType === 'Sigmoid')!.opType = 'LSTM';
  await writeFile(join(folder, graphFile), encodeModel(model));
  const { message } = await refusal(folder);
  expect(message).toContain('/model/layers.0/mlp/act_fn/Sigmoid');
  expect(message).toContain('LSTM');
});

test('weights named like parts of every object are imported as any others', { timeout: 60_000 }, async () => {
  const folder = await soundFolder();
  const model = buildSyntheticModel(shape);
  const weight = model.graph.initializer.find((tensor) => tensor.name.includes('q_proj'))!;
  for (const node of model.graph.node)
    node.input = node.input.map((name) => (name === weight.name ? '__proto__' : name));
  weight.name = '__proto__';
  await writeFile(join(folder, graphFile), encodeModel(model));
  const { manifest } = await importModel(folder, { dataFolder: join(scratch, 'data'), onProgress: () => undefined });
  expect(manifest.parts[1]!.weights.map(({ name }) => name)).toContain('__proto__');
});

function spoilLocation({ graph }: OnnxModel, change: (entries: Map<string, string>) => void): void {
  const tensor = graph.initializer.find(({ externalData }) => externalData.length > 0)!;
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  change(entries);
  tensor.externalData = tensor.externalData.filter(({ key }) => entries.has(key));
  for (const entry of tensor.externalData) entry.value = entries.get(entry.key)!;
}

async function replaced(folder: string, name: string, make: (path: string) => Promise<unknown>): Promise<void> {
  await rm(join(folder, name));
  await make(join(folder, name));
}

function configWith(change: Record<string, number>): string {
  return JSON.stringify({
    ...{
      model_type: 'llama',
      num_hidden_layers: shape.layers,
      hidden_size: shape.hidden,
      vocab_size: shape.vocabulary,
    },
    ...{ num_attention_heads: shape.heads, num_key_value_heads: shape.kvHeads, head_dim: shape.headSize },
    ...{ max_position_embeddings: shape.positions },
    ...change,
  });
}
