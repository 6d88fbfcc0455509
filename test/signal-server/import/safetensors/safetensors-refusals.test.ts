import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { openModel } from '../../../../signal-server/import/open-model.ts';
import { repeatedKey } from '../../../../signal-server/import/safetensors/repeated-key.ts';
import { readSafetensorsHeader } from '../../../../signal-server/import/safetensors/safetensors-file.ts';
import { isThorough, repetitions } from '../../../support/effort.ts';
import { safetensorsModel, writeSafetensorsModel } from '../../../support/safetensors-model.ts';
import { safetensorsBytes, tensorOf, writeSafetensors } from '../../../support/write-safetensors.ts';

let scratch: string;
let made = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-safetensors-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const two = [
  tensorOf('a', 'F32', [2, 2], Float32Array.of(1, 2, 3, 4)),
  tensorOf('b', 'BF16', [4], Float32Array.of(1, 2, 3, 4)),
];
const entry = (dtype: string, shape: unknown, from: unknown, to: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: [from, to] });
const [first, second] = [entry('F32', [2, 2], 0, 16), entry('BF16', [4], 16, 24)];
const read = (bytes: Uint8Array<ArrayBuffer>) =>
  readSafetensorsHeader((at, length) => bytes.slice(at, at + length), bytes.length, 'm');
const readHeader = (header: string) => read(safetensorsBytes(two, header));

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof ChorusError) return `${thrown.code}: ${thrown.message}`;
    throw thrown;
  }
  throw new Error('not refused');
}

test('a header says where each tensor lies', () => {
  const tensors = readHeader(`{"b":${second},"__metadata__":{"format":"pt"},"a":${first}}   `);
  expect([...tensors.values()].map(({ name, type, bytes }) => [name, type, bytes])).toEqual([
    ['b', 'BF16', 8],
    ['a', 'F32', 16],
  ]);
  const at = tensors.get('a')!.offset;
  expect(tensors.get('b')!.offset).toBe(at + 16);
});

test.each<[string, string, string]>([
  ['no JSON', '{"a":', 'bad-model: the header of m is not JSON'],
  ['a list', `[${first}]`, 'bad-model: the header of m is not an object'],
  ['a tensor twice', `{"a":${first},"b":${second},"a":${first}}`, 'bad-model: the header of m says a twice'],
  [
    'a tensor twice by another spelling',
    `{"a":${first},"b":${second},"\\u0061":${first}}`,
    'bad-model: the header of m says a twice',
  ],
  [
    'a key of a tensor twice',
    `{"a":{"dtype":"F32","dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":${second}}`,
    'bad-model: the header of m says dtype twice',
  ],
  [
    'a type that is not read',
    `{"a":${entry('F8_E4M3', [16], 0, 16)},"b":${second}}`,
    'unsupported-model: the tensor a of m is F8_E4M3; F32, F16, BF16 are read',
  ],
  [
    'a type that is none',
    `{"a":${entry('toString', [2, 2], 0, 16)},"b":${second}}`,
    'unsupported-model: the tensor a of m is toString',
  ],
  [
    'offsets that do not fit the shape',
    `{"a":${entry('F32', [2, 3], 0, 16)},"b":${second}}`,
    'bad-model: the tensor a of m has 16 bytes; F32 of 2 × 3 takes 24',
  ],
  [
    'offsets the wrong way round',
    `{"a":${entry('F32', [2, 2], 16, 0)},"b":${second}}`,
    'bad-model: the tensor a of m has -16 bytes',
  ],
  [
    'tensors over one another',
    `{"a":${first},"b":${entry('BF16', [4], 8, 16)}}`,
    'bad-model: the tensor b of m lies over another',
  ],
  [
    'bytes between tensors',
    `{"a":${first},"b":${entry('BF16', [2], 20, 24)}}`,
    'bad-model: the tensor b of m has bytes before it',
  ],
  [
    'a tensor outside the file',
    `{"a":${first},"b":${entry('BF16', [8], 16, 32)}}`,
    'bad-model: the tensor b of m ends beyond the file',
  ],
  ['bytes after the last tensor', `{"a":${first}}`, 'bad-model: m has bytes after its last tensor'],
  [
    'a shape of no numbers',
    `{"a":${entry('F32', ['2', 2], 0, 16)},"b":${second}}`,
    'bad-model: the tensor a of m: shape.0',
  ],
  [
    'a negative length',
    `{"a":${entry('F32', [-2, -2], 0, 16)},"b":${second}}`,
    'bad-model: the tensor a of m: shape.0',
  ],
  [
    'an offset that is no whole number',
    `{"a":${entry('F32', [2, 2], 0.5, 16.5)},"b":${second}}`,
    'bad-model: the tensor a of m: data_offsets.0',
  ],
  [
    'a key too many',
    `{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16],"x":1},"b":${second}}`,
    'bad-model: the tensor a of m:',
  ],
  [
    'metadata that is no text',
    `{"a":${first},"b":${second},"__metadata__":{"a":1}}`,
    'bad-model: the header of m has a __metadata__',
  ],
  ['a tensor without a name', `{"":${first},"b":${second}}`, 'bad-model: m has a tensor whose name has 0 characters'],
])('a header with %s is refused', (_, header, words) => {
  expect(refusal(() => readHeader(header))).toContain(words);
});

test('a header that says that it is longer than it may be, or than the file, is not read', () => {
  const asked: number[] = [];
  const long = (length: bigint) => () => {
    const head = new Uint8Array(8);
    new DataView(head.buffer).setBigUint64(0, length, true);
    readSafetensorsHeader((at, count) => (asked.push(count), head.slice(at, at + count)), 10_000_000, 'm');
  };
  expect(refusal(long(5_000_000n))).toContain('bad-model: the header of m has 5000000 bytes; at most 4194304');
  expect(refusal(long(2n ** 63n))).toContain('bad-model: the header of m has');
  expect(asked).toEqual([8, 8]);
  const file = safetensorsBytes(two);
  expect(refusal(() => read(file.slice(0, 60)))).toContain('which is more than the file');
  expect(refusal(() => read(file.slice(0, 7)))).toContain('bad-model: m is too short to be a safetensors file');
  expect(refusal(() => read(safetensorsBytes(two).fill(0xff, 8, 12)))).toContain(
    'bad-model: the header of m is no text',
  );
});

test('more tensors than a model has are refused', () => {
  const many = Array.from({ length: 16_385 }, (_, i) => `"${i}":${entry('F32', [0], 0, 0)}`);
  expect(refusal(() => readHeader(`{${many.join()}}`))).toBe('bad-model: m has 16385 tensors; at most 16384 are read');
});

test('a key is found to be there twice in the object it stands in, and in no other', () => {
  expect(repeatedKey('{"a":1,"b":[{"a":1},{"a":2,"c":"a\\":"}],"c":{"a":{"a":"a"}}}')).toBeNull();
  expect(repeatedKey('{"x":[{"a":1,"b":2,"a":3}]}')).toBe('a');
  expect(repeatedKey(`{"x":${'['.repeat(9000)}${']'.repeat(9000)}}`)).toBeNull();
});

const model = safetensorsModel('llama', ['F32'], false);
type Spoilt = typeof model;
const withConfig = (change: Record<string, unknown>): Spoilt => ({ ...model, config: { ...model.config, ...change } });
const withTensors = (change: (tensors: Spoilt['tensors']) => Spoilt['tensors']): Spoilt => ({
  ...model,
  tensors: change(model.tensors),
});

async function opening(folder: string, quant?: string): Promise<string> {
  const thrown: unknown = await openModel(folder, { quant, maxPositions: 64, onReading: () => undefined }, [])
    .then(
      (opened) => {
        opened.file.model.graph.initializer.forEach((tensor) => opened.file.read(tensor));
        return null;
      },
      (error: unknown) => error,
    )
    .catch((error: unknown) => error);
  if (thrown instanceof ChorusError) return `${thrown.code}: ${thrown.message}`;
  throw thrown instanceof Error ? thrown : new Error('not refused');
}

test.each<[string, Spoilt, string, string?]>([
  [
    'another family',
    withConfig({ model_type: 'gemma3' }),
    'unsupported-model: config.json: the family gemma3 is not supported; llama, qwen2, qwen3 are',
  ],
  ['no family', withConfig({ model_type: 7 }), 'bad-model: config.json: model_type'],
  [
    'a width that is missing',
    withConfig({ intermediate_size: undefined }),
    'bad-model: config.json: intermediate_size',
  ],
  [
    'another activation',
    withConfig({ hidden_act: 'gelu' }),
    'unsupported-model: config.json: this is not known here: hidden_act gelu',
  ],
  [
    'stretched positions',
    withConfig({ rope_scaling: { rope_type: 'yarn', factor: 4 } }),
    'unsupported-model: config.json: the model stretches its positions (yarn)',
  ],
  [
    'llama3 positions without their lengths',
    withConfig({ rope_scaling: { rope_type: 'llama3', factor: 4 } }),
    'unsupported-model: config.json: the model stretches its positions (llama3)',
  ],
  [
    'a window',
    withConfig({ use_sliding_window: true }),
    'unsupported-model: config.json: this is not known here: use_sliding_window',
  ],
  [
    'layers of other attention',
    withConfig({ layer_types: ['full_attention', 'sliding_attention'] }),
    'unsupported-model: config.json: this is not known here: layer_types',
  ],
  [
    'half-turned heads',
    withConfig({ partial_rotary_factor: 0.5 }),
    'unsupported-model: config.json: this is not known here: partial_rotary_factor',
  ],
  [
    'weights quantized before',
    withConfig({ quantization_config: { quant_method: 'gptq' } }),
    'unsupported-model: config.json: this is not known here: quantization_config',
  ],
  [
    'heads that do not fit',
    withConfig({ num_key_value_heads: 3 }),
    'unsupported-model: config.json: 4 heads of 64 over 3',
  ],
  [
    'a bias that is missing',
    withConfig({ attention_bias: true }),
    'bad-model: the safetensors have no tensor model.layers.0.self_attn.q_proj.bias',
  ],
  [
    'norms that are missing',
    withConfig({ model_type: 'qwen3' }),
    'bad-model: the safetensors have no tensor model.layers.0.self_attn.q_norm.weight',
  ],
  [
    'more layers than weights',
    withConfig({ num_hidden_layers: 3 }),
    'bad-model: the safetensors have no tensor model.layers.2.input_layernorm.weight',
  ],
  [
    'fewer layers than weights',
    withConfig({ num_hidden_layers: 1 }),
    'unsupported-model: the safetensors have the tensor model.layers.1.input_layernorm.weight',
  ],
  [
    'a head that is missing',
    withTensors((all) => all.filter(({ name }) => name !== 'lm_head.weight')),
    'bad-model: the safetensors have no tensor lm_head.weight',
  ],
  [
    'a weight of another size',
    withConfig({ vocab_size: 65 }),
    'bad-model: the tensor model.embed_tokens.weight is 64 × 256; 65 × 256 are expected',
  ],
  [
    'a weight that is no number',
    withTensors((all) =>
      all.map((each, i) => (i === 2 ? { ...each, bytes: each.bytes.slice().fill(0xff, 400, 404) } : each)),
    ),
    'bad-model: the tensor model.layers.0.self_attn.q_proj.weight has weights that are no numbers',
  ],
  [
    'a wish for another kind',
    model,
    'unsupported-model: weights in safetensors are not rounded to Q2_K; choose --quant q8, q4,',
    'Q2_K',
  ],
])('a folder with %s is refused by name', async (_, spoilt, words, quant) => {
  const folder = join(scratch, `model-${made++}`);
  await writeSafetensorsModel(folder, spoilt);
  expect(await opening(folder, quant)).toContain(words);
});

test.each<[string, Record<string, string>, string]>([
  ['names a file outside', { a: '../a.safetensors' }, 'bad-model: model.safetensors.index.json: weight_map.a'],
  ['names no file', {}, 'bad-model: model.safetensors.index.json names 0 files'],
  ['names a file that is missing', { a: 'b.safetensors' }, 'bad-model: the file b.safetensors is missing'],
  [
    'leaves a tensor out',
    { a: 'a.safetensors' },
    'bad-model: model.safetensors.index.json does not say that the tensor b lies in a.safetensors',
  ],
  [
    'names a tensor that is not there',
    { a: 'a.safetensors', b: 'a.safetensors', c: 'a.safetensors' },
    'bad-model: a.safetensors has no tensor c',
  ],
])('an index that %s is refused', async (_, map, words) => {
  const folder = join(scratch, `model-${made++}`);
  await writeSafetensorsModel(folder, model, 2);
  await writeSafetensors(join(folder, 'a.safetensors'), two);
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
  expect(await opening(folder)).toContain(words);
});

test(
  'a header with any bytes changed is read or refused, within a second and without much memory',
  { timeout: 60_000 + repetitions(0, 60 * 60_000) },
  () => {
    const tensors = model.tensors
      .slice(0, 12)
      .map(({ name }, i) => tensorOf(name, i % 2 ? 'F16' : 'F32', [2, 1 + i], new Float32Array(2 + 2 * i)));
    const whole = safetensorsBytes(tensors);
    const headBytes = 8 + Number(new DataView(whole.buffer).getBigUint64(0, true));
    const byte = fc.oneof(
      fc.nat(255),
      fc.constantFrom(...[...'0123456789[]{}",:\\-e'].map((sign) => sign.charCodeAt(0))),
    );
    const edits = fc.array(fc.tuple(fc.oneof(fc.nat(headBytes - 1), fc.nat(7)), byte), { minLength: 1, maxLength: 6 });
    const cut = fc.option(fc.nat(headBytes + 100), { freq: 8 });
    // A run of digits where a number stands.
    const digits = fc.option(fc.tuple(fc.nat(headBytes - 30), fc.bigInt({ min: 0n, max: 2n ** 70n })), { freq: 2 });
    const outcomes = new Map<string, number>();
    let slowestMs = 0;
    fc.assert(
      fc.property(edits, cut, digits, (changes, length, number) => {
        const changed = whole.slice(0, length ?? whole.length);
        for (const [at, value] of changes) if (at < changed.length) changed[at] = value;
        if (number !== null)
          changed.set(
            Buffer.from(`${number[1]}`).subarray(0, Math.max(0, changed.length - 8 - number[0])),
            Math.min(changed.length, 8 + number[0]),
          );
        const began = process.cpuUsage();
        let outcome: string;
        try {
          for (const { offset, bytes } of read(changed).values())
            expect(offset + bytes).toBeLessThanOrEqual(changed.length);
          outcome = 'read';
        } catch (thrown) {
          outcome = thrown instanceof ChorusError ? thrown.code : String(thrown);
        }
        const { user, system } = process.cpuUsage(began);
        slowestMs = Math.max(slowestMs, (user + system) / 1000);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        expect(['read', 'bad-model', 'unsupported-model']).toContain(outcome);
      }),
      { numRuns: repetitions(200, 100_000) },
    );
    expect(slowestMs).toBeLessThan(5000);
    if (isThorough)
      process.stdout.write(`${JSON.stringify([...outcomes])}, slowest ${slowestMs.toFixed(0)} ms of processor time\n`);
  },
);
