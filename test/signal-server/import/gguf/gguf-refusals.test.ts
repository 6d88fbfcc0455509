import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { chooseGguf } from '../../../../signal-server/import/gguf/choose-gguf.ts';
import { readHeader } from '../../../../signal-server/import/gguf/gguf-file.ts';
import { openGgufModel } from '../../../../signal-server/import/open-gguf-model.ts';
import { importModel } from '../../../../signal-server/import/import-model.ts';
import { openModel } from '../../../../signal-server/import/open-model.ts';
import { isThorough, repetitions } from '../../../support/effort.ts';
import { ggufModel, writeGgufModel, type GgufModel } from '../../../support/gguf-model.ts';

let scratch: string;
let files = 0;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'chorus-gguf-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const base = ggufModel('llama', ['Q8_0']);
type Spoilt = Pick<GgufModel, 'metadata' | 'tensors'>;
const without = (key: string) => {
  const { [key]: _, ...metadata } = base.metadata;
  return { ...base, metadata };
};
const withKey = (key: string, value: GgufModel['metadata'][string]): Spoilt => ({
  ...base,
  metadata: { ...base.metadata, [key]: value },
});
const withTensor = (name: string, change: Partial<GgufModel['tensors'][number]>): Spoilt => ({
  ...base,
  tensors: base.tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...change } : tensor)),
});
const bytesOf = (count: number) => () => new Uint8Array(count);

async function refusal(work: Promise<unknown>): Promise<string> {
  const thrown: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof ChorusError) return `${thrown.code}: ${thrown.message}`;
  throw thrown instanceof Error ? thrown : new Error('not refused');
}

test.each<[string, Spoilt, string]>([
  [
    'another architecture',
    withKey('general.architecture', 'gemma3'),
    'unsupported-model: the architecture gemma3 is not supported; llama, qwen2, qwen3 are',
  ],
  [
    'a mixture of experts',
    withKey('llama.expert_count', { u32: 8 }),
    'unsupported-model: a mixture of experts is not supported',
  ],
  [
    'stretched positions',
    withKey('llama.rope.scaling.type', 'yarn'),
    'unsupported-model: the model stretches its positions (yarn)',
  ],
  [
    'a window',
    withKey('llama.attention.sliding_window', { u32: 16 }),
    'unsupported-model: the model attends to 16 positions only',
  ],
  [
    'half-turned heads',
    withKey('llama.rope.dimension_count', { u32: 32 }),
    'unsupported-model: 4 heads of 64 over 2, not all of it turned',
  ],
  ['one of several files', withKey('split.count', { u32: 3 }), 'unsupported-model: model.gguf is one of several files'],
  ['a key that is missing', without('llama.block_count'), "bad-model: the GGUF file's metadata: llama.block_count"],
  [
    'a key of another type',
    withKey('llama.embedding_length', 'wide'),
    "bad-model: the GGUF file's metadata: llama.embedding_length",
  ],
  ['another tokenizer', withKey('tokenizer.ggml.model', 't5'), "unsupported-model: the GGUF file's tokenizer is “t5”"],
  [
    'words cut in a way that is not known',
    withKey('tokenizer.ggml.pre', 'tekken'),
    "unsupported-model: the GGUF file's tokenizer cuts words as “tekken” does; gpt-2,",
  ],
  [
    'a token that is there twice',
    withKey('tokenizer.ggml.tokens', { strings: Array<string>(64).fill('a') }),
    "bad-model: the GGUF file's tokenizer: a token is there twice",
  ],
  [
    'more layers than weights',
    withKey('llama.block_count', { u32: 3 }),
    'bad-model: the GGUF file has no tensor blk.2.attn_norm.weight',
  ],
  [
    'fewer layers than weights',
    withKey('llama.block_count', { u32: 1 }),
    'unsupported-model: the GGUF file has the tensor blk.1.attn_norm.weight',
  ],
  [
    'a weight of another size',
    withTensor('blk.0.attn_norm.weight', { dims: [128], bytes: bytesOf(512) }),
    'bad-model: the tensor blk.0.attn_norm.weight is 128; 256 are expected',
  ],
  [
    'a type that is not read',
    withTensor('blk.0.ffn_up.weight', { type: 'Q2_K', bytes: bytesOf(256 * 84) }),
    'unsupported-model: the tensor blk.0.ffn_up.weight is Q2_K; F32, F16, BF16, Q4_0,',
  ],
  [
    'a norm in blocks',
    withTensor('blk.0.attn_norm.weight', { type: 'Q8_0', bytes: bytesOf(272) }),
    'unsupported-model: the vector blk.0.attn_norm.weight is Q8_0',
  ],
  [
    'a tensor twice',
    { ...base, tensors: [...base.tensors, base.tensors[0]!] },
    'bad-model: the GGUF file has the tensor token_embd.weight twice',
  ],
])('a GGUF file with %s is refused by name', async (_, spoilt, words) => {
  const path = join(scratch, `${files++}`);
  await writeGgufModel(path, spoilt);
  await rm(join(scratch, 'model.gguf'), { force: true });
  await symlink(path, join(scratch, 'model.gguf'));
  expect(await refusal(openGgufModel(scratch, 'model.gguf', 64, null))).toContain(words);
});

test('a file that is no GGUF file is refused before anything is written', async () => {
  const path = join(scratch, 'none.gguf');
  const [options, data] = [{ dataFolder: join(scratch, 'none'), onProgress: () => undefined }, Buffer.alloc(5000, 7)];
  await writeFile(path, data);
  expect(await refusal(importModel(path, options))).toMatch(/^bad-model: the GGUF file cannot be read/);
  await writeFile(join(scratch, 'model.bin'), data);
  expect(await refusal(importModel(join(scratch, 'model.bin'), options))).toContain('is no GGUF file');
});

test(
  'a header with any bytes changed is read or refused, within a second and without much memory',
  { timeout: 2 * 60_000 + repetitions(0, 60 * 60_000) },
  async () => {
    const path = join(scratch, 'whole.gguf');
    await writeGgufModel(path, base);
    const bytes = new Uint8Array(await readFile(path));
    const { tensors } = await readHeader((at, length) => bytes.slice(at, at + length), bytes.length);
    const headBytes = Math.min(...[...tensors.values()].map(({ offset }) => offset));
    // Lengths and counts are where a small file asks for much.
    const edit = fc.tuple(fc.nat(headBytes - 1), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)));
    const edits = fc.array(edit, { minLength: 1, maxLength: 12 });
    const cut = fc.option(fc.nat(headBytes + 100), { freq: 8 });
    let slowest = 0;
    await fc.assert(
      fc.asyncProperty(edits, cut, async (changes, length) => {
        const changed = bytes.slice(0, length ?? bytes.length);
        for (const [at, value] of changes) if (at < changed.length) changed[at] = value;
        const began = performance.now();
        const outcome = await readHeader((at, count) => changed.slice(at, at + count), changed.length).then(
          (header) => {
            for (const { offset, bytes: size } of header.tensors.values())
              expect(offset + size).toBeLessThanOrEqual(changed.length);
            return 'read';
          },
          (error: unknown) => (error instanceof ChorusError ? error.code : String(error)),
        );
        slowest = Math.max(slowest, performance.now() - began);
        expect(['read', 'bad-model', 'unsupported-model']).toContain(outcome);
      }),
      { numRuns: repetitions(60, 100_000) },
    );
    if (isThorough) process.stdout.write(`slowest header: ${slowest.toFixed(0)} ms of processor time\n`);
    expect(slowest).toBeLessThan(5000);
  },
);

test('of several GGUF files the wished one is taken, without a wish one of four bits', () => {
  const names = ['a-F16.gguf', 'a-IQ2_M.gguf', 'a-Q4_K_M.gguf', 'a.Q8_0.gguf', 'mmproj-a-F16.gguf', 'README.md'];
  expect(chooseGguf(names, undefined)).toBe('a-Q4_K_M.gguf');
  expect(chooseGguf(names, 'q8_0')).toBe('a.Q8_0.gguf');
  expect(chooseGguf(names, 'fp16')).toBe('a-F16.gguf');
  expect(chooseGguf(['only.gguf'], undefined)).toBe('only.gguf');
  expect(() => chooseGguf(names, 'Q5_K_M')).toThrow('there is no GGUF file of the kind Q5_K_M; there is a-F16.gguf');
  expect(() => chooseGguf(['README.md'], undefined)).toThrow('no GGUF file');
});

test('a snapshot in a cache of Hugging Face is read through its links, and a link out of any other folder is not', async () => {
  const repository = join(scratch, 'models--owner--name');
  const snapshot = join(repository, 'snapshots', '0123456789012345678901234567890123456789');
  await mkdir(join(repository, 'blobs'), { recursive: true });
  await mkdir(snapshot, { recursive: true });
  await writeGgufModel(join(repository, 'blobs', 'abc'), base);
  await symlink('../../blobs/abc', join(snapshot, 'tiny-Q8_0.gguf'));
  const opened = await openModel(snapshot, { maxPositions: 64, onReading: () => undefined }, []);
  opened.file.close();
  expect(opened).toMatchObject({ name: 'tiny-Q8_0.gguf', quantization: 'q8_0', onlyOn: null });
  const other = join(scratch, 'other');
  await mkdir(other);
  await symlink(join(repository, 'blobs', 'abc'), join(other, 'tiny-Q8_0.gguf'));
  const refused = openModel(other, { maxPositions: 64, onReading: () => undefined }, []);
  expect(await refusal(refused)).toContain('the link tiny-Q8_0.gguf leads outside the model folder');
});
