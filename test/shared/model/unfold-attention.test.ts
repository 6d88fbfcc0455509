import type { NodeProto } from 'onnx-buf';
import { beforeAll, describe, expect, test } from 'vitest';
import { foldModel } from '#shared/model/fold.ts';
import { floatOf, intOf } from '#shared/model/node-attributes.ts';
import { decodeModel, encodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import { unfoldAttention } from '#shared/model/unfold-attention.ts';
import type { InferenceSession, Runtime, Tensor } from '../../../worker/runtime.ts';
import { loadRuntime } from '../../../worker/runtime.ts';
import { buildSyntheticModel, syntheticShapes, type SyntheticShape } from '../../support/synthetic-models.ts';
import { createRandom, randomValues } from '../../support/synthetic-weights.ts';

/** Largest difference of a value's rows, relative to their length. */
const ROUNDING = 1e-5;

let runtime: Runtime;
beforeAll(async () => {
  runtime = await loadRuntime('wasm');
});

const attentions = (model: OnnxModel) => model.graph.node.filter((node) => node.opType === 'GroupQueryAttention');

interface Pair {
  readonly whole: InferenceSession;
  readonly unfolded: InferenceSession;
  release(): Promise<void>;
}

/** The model in float32 with its attention nodes as `change` leaves them, and the same taken apart. */
async function loadPair(shape: SyntheticShape, change: (node: NodeProto) => void = () => undefined): Promise<Pair> {
  const model = buildSyntheticModel(shape);
  for (const node of attentions(model)) change(node);
  const externalData = foldModel(model, ({ rawData }) => rawData, 'plain');
  const bytes = encodeModel(model);
  const copy = decodeModel(bytes);
  unfoldAttention(copy);
  expect(attentions(copy)).toEqual([]);
  const whole = await runtime.InferenceSession.create(bytes, { externalData });
  const unfolded = await runtime.InferenceSession.create(encodeModel(copy), { externalData });
  return { whole, unfolded, release: async () => void (await Promise.all([whole.release(), unfolded.release()])) };
}

function feedsFor(shape: SyntheticShape, past: number, count: number): Record<string, Tensor> {
  const random = createRandom(past + count);
  const int64 = (values: readonly number[]) =>
    new runtime.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const feeds: Record<string, Tensor> = {
    input_ids: int64(Array.from({ length: count }, (_, i) => (i * 37 + past) % shape.vocabulary)),
    attention_mask: int64(Array<number>(past + count).fill(1)),
  };
  if (shape.rotary === 'external') feeds.position_ids = int64(Array.from({ length: count }, (_, i) => past + i));
  const dims = [1, shape.kvHeads, past, shape.headSize];
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const part of ['key', 'value']) {
      const values = randomValues(random, shape.kvHeads * past * shape.headSize, 1);
      feeds[`past_key_values.${layer}.${part}`] = new runtime.Tensor('float32', values, dims);
    }
  }
  return feeds;
}

async function expectSame({ whole, unfolded }: Pair, shape: SyntheticShape, past: number, count: number) {
  const feeds = feedsFor(shape, past, count);
  const expected = await whole.run(feeds);
  const actual = await unfolded.run(feeds);
  expect(Object.keys(actual)).toEqual(Object.keys(expected));
  for (const [name, { dims, data }] of Object.entries(expected)) {
    expect(actual[name]!.dims, name).toEqual(dims);
    const ours = actual[name]!.data as Float32Array;
    const difference = relativeDifference(ours, data as Float32Array);
    expect(difference, `${name} of ${count} positions after ${past}`).toBeLessThan(ROUNDING);
  }
}

function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  const length = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return length(actual.map((value, i) => value - expected[i]!)) / length(expected);
}

describe('attention in its parts gives what the node gives, keys and values too', () => {
  test.each(Object.entries<SyntheticShape>(syntheticShapes))('%s', async (_, shape) => {
    const pair = await loadPair(shape);
    for (const past of [0, 1, 40, 96]) for (const count of [1, 2, 7, 32]) await expectSame(pair, shape, past, count);
    await pair.release();
  });

  const { smolFp32, smolPackedQ4f16, qwenFp16 } = syntheticShapes;
  const set = (node: NodeProto, ...attributes: NodeProto['attribute']) => {
    const names = attributes.map(({ name }) => name);
    node.attribute = [...node.attribute.filter(({ name }) => !names.includes(name)), ...attributes];
  };
  test.each<[string, SyntheticShape, (node: NodeProto) => void]>([
    ['neighbours turned together', smolFp32, (node) => set(node, intOf('rotary_interleaved', 1))],
    ['packed, neighbours turned together', smolPackedQ4f16, (node) => set(node, intOf('rotary_interleaved', 1))],
    ['no scale named', smolFp32, (node) => set(node, floatOf('scale', 0))],
    ['another scale', qwenFp16, (node) => set(node, floatOf('scale', 0.4))],
    ['a soft cap', qwenFp16, (node) => set(node, floatOf('softcap', 2))],
    ['packed, with nothing turned', smolPackedQ4f16, (node) => set(node, intOf('do_rotary', 0))],
    [
      'attributes that ask for nothing',
      smolFp32,
      (node) => set(node, intOf('local_window_size', -1), intOf('smooth_softmax', 0)),
    ],
  ])('%s', async (_, shape, change) => {
    const pair = await loadPair(shape, change);
    for (const count of [1, 7]) for (const past of [0, 40]) await expectSame(pair, shape, past, count);
    await pair.release();
  });

  test('half of each head turned', async () => {
    // Caches of a head half as wide: 32 values a head, 16 of them turned.
    const shape = { ...smolFp32, headSize: 32 };
    const narrow = buildSyntheticModel({ ...shape, headSize: 16 }).graph.initializer;
    const caches = narrow.filter(({ name }) => name.endsWith('_cache'));
    expect(caches).toHaveLength(2);
    const model = buildSyntheticModel(shape);
    model.graph.initializer = [...model.graph.initializer.filter(({ name }) => !name.endsWith('_cache')), ...caches];
    const whole = await runtime.InferenceSession.create(encodeModel(model));
    unfoldAttention(model);
    const unfolded = await runtime.InferenceSession.create(encodeModel(model));
    await expectSame({ whole, unfolded, release: () => Promise.resolve() }, shape, 40, 7);
  });
});

test('a run beyond the angles that the model has is refused, as the node refuses it', async () => {
  const shape = syntheticShapes.smolFp32;
  const { whole, unfolded, release } = await loadPair(shape);
  const feeds = feedsFor(shape, shape.positions - 1, 2);
  await expect(whole.run(feeds)).rejects.toThrow();
  await expect(unfolded.run(feeds)).rejects.toThrow();
  await release();
});

describe('a node that asks for more than is understood stays as it is', () => {
  const place = (index: number) => (node: NodeProto) => {
    node.input = [...node.input, ...Array<string>(index - node.input.length).fill(''), 'more'];
  };
  test.each<[string, (node: NodeProto) => void]>([
    ['a window', (node) => node.attribute.push(intOf('local_window_size', 64))],
    ['a smooth Softmax', (node) => node.attribute.push(intOf('smooth_softmax', 1))],
    ['an attribute that is unknown', (node) => node.attribute.push(intOf('no_such_attribute', 0))],
    ['positions of its own', place(9)],
    ['a bias', place(10)],
    ['a sink', place(11)],
    ['the scores as a result', (node) => node.output.push('scores')],
    ['keys without values', (node) => void (node.input[2] = '')],
    ['angles that are no weight', (node) => void (node.input[7] = 'computed')],
  ])('%s', (_, change) => {
    const model = buildSyntheticModel(syntheticShapes.smolFp32);
    const [first] = attentions(model);
    change(first!);
    unfoldAttention(model);
    expect(attentions(model)).toEqual([first]);
  });

  test('and every node of a model with older operators', () => {
    const model = buildSyntheticModel(syntheticShapes.smolFp32);
    model.opsetImport[0]!.version = 12n;
    unfoldAttention(model);
    expect(attentions(model)).toHaveLength(4);
  });
});
