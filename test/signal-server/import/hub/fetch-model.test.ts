import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toBase64 } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import { fetchModel, hubAccessOf, type FetchedModel } from '../../../../signal-server/import/hub/fetch-model.ts';
import { parseHubSource } from '../../../../signal-server/import/hub/hub-source.ts';
import { openModel } from '../../../../signal-server/import/open-model.ts';
import { safetensorsModel, writeSafetensorsModel } from '../../../support/safetensors-model.ts';
import { seededBytes } from '../../../support/seeded-bytes.ts';
import { startHub, type HubDouble } from '../../../support/hub-double.ts';

const text = (words: string) => new TextEncoder().encode(words);
const gguf = seededBytes(1)(30_000);
const files = {
  'README.md': text('a card'),
  LICENSE: text('free'),
  'model-Q4_K_M.gguf': gguf,
  'model-Q8_0.gguf': seededBytes(2)(1500),
};
const graphs = {
  ...Object.fromEntries(['config.json', 'tokenizer.json', 'tokenizer_config.json'].map((name) => [name, text('{}')])),
  'onnx/model_q4.onnx': seededBytes(3)(2000),
  'onnx/model_q4.onnx_data': seededBytes(4)(2000),
  'onnx/model_q4.onnx_data_1': seededBytes(5)(2000),
  'onnx/model.onnx': seededBytes(6)(2000),
  'model.safetensors': seededBytes(7)(2000),
};

let hub: HubDouble;
let dataFolder: string;
let waited: number[];
let said: string[];
beforeEach(async () => {
  dataFolder = await mkdtemp(join(tmpdir(), 'chorus-hub-'));
  hub = await startHub('owner/name', files);
  [waited, said] = [[], []];
});
afterEach(async () => {
  await hub.stop();
  await rm(dataFolder, { recursive: true });
});

const fetchIt = (
  source = 'hf:owner/name',
  { quant, token = null }: { quant?: string; token?: string | null } = {},
): Promise<FetchedModel> =>
  fetchModel(source, {
    quant,
    dataFolder,
    access: { endpoint: hub.url, token, wait: async (ms) => void waited.push(ms) },
    onStart: (words) => said.push(words),
    onProgress: ({ label }) => said.push(label),
  });

async function refusal(work: Promise<unknown>): Promise<string> {
  const thrown: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  return thrown instanceof ChorusError ? `${thrown.code}: ${thrown.message}` : String(thrown);
}

const read = async ({ folder }: FetchedModel, name: string) => (await readFile(join(folder, name))).toString('base64');
const rangesOf = () => hub.requests.filter(({ path }) => path.startsWith('cdn')).map(({ range }) => range);

test('a GGUF file comes from its pinned commit, with its card and whole, and the size and licence are said first', async () => {
  const fetched = await fetchIt();
  expect(await read(fetched, 'model-Q4_K_M.gguf')).toBe(toBase64(gguf));
  expect((await readdir(fetched.folder)).sort()).toEqual(['README.md', 'model-Q4_K_M.gguf']);
  expect(fetched).toMatchObject({ name: 'name', origin: `${hub.url}/owner/name/tree/${hub.commit}` });
  expect(said).toContain(`owner/name at ${hub.commit}: 2 files of 30.0 kB, licence apache-2.0`);
  expect(await read(await fetchIt('hf:owner/name@v1', { quant: 'q8' }), 'model-Q8_0.gguf')).toBe(
    toBase64(files['model-Q8_0.gguf']),
  );
});

test('an ONNX graph comes with all of its weights and nothing else', async () => {
  await hub.stop();
  hub = await startHub('owner/name', graphs);
  const { folder } = await fetchIt();
  expect((await readdir(join(folder, 'onnx'))).sort()).toEqual([
    'model_q4.onnx',
    'model_q4.onnx_data',
    'model_q4.onnx_data_1',
  ]);
  expect((await readdir(folder)).sort()).toEqual(['config.json', 'onnx', 'tokenizer.json', 'tokenizer_config.json']);
});

test('a connection that is cut goes on where it was, and so does the next start', async () => {
  hub.faults.cuts = { after: 10_000, times: 2 };
  expect(await read(await fetchIt(), 'model-Q4_K_M.gguf')).toBe(toBase64(gguf));
  expect(rangesOf()).toHaveLength(3);

  const { folder } = await fetchIt();
  expect(rangesOf()).toHaveLength(3);
  await rm(join(folder, 'model-Q4_K_M.gguf'));
  await writeFile(join(folder, 'model-Q4_K_M.gguf.part'), gguf.subarray(0, 1234));
  expect(await read(await fetchIt(), 'model-Q4_K_M.gguf')).toBe(toBase64(gguf));
  expect(rangesOf().at(-1)).toBe('bytes=1234-');
});

test('a repository of safetensors comes by its index, without other models’ tensors, and is rounded to what is wished', async () => {
  await hub.stop();
  const folder = join(dataFolder, 'published');
  await writeSafetensorsModel(folder, safetensorsModel('qwen2', ['BF16'], true), 2);
  const published = await Promise.all(
    (await readdir(folder)).map(async (name) => [name, new Uint8Array(await readFile(join(folder, name)))] as const),
  );
  hub = await startHub('owner/name', {
    ...Object.fromEntries(published),
    'adapter_model.safetensors': seededBytes(1)(2000),
    'original/model.safetensors': seededBytes(2)(2000),
  });
  const fetched = await fetchIt('hf:owner/name', { quant: 'q4' });
  expect((await readdir(fetched.folder)).sort()).toEqual(published.map(([name]) => name).sort());
  const opened = await openModel(fetched.folder, { quant: 'q4', maxPositions: 64, onReading: () => undefined }, []);
  opened.file.close();
  expect(opened).toMatchObject({ quantization: 'q4_0', onlyOn: null });
  expect(await refusal(fetchIt('hf:owner/name', { quant: 'Q2_K' }))).toContain(
    'unsupported-model: weights in safetensors',
  );
});

test('a hub without ranges begins anew', async () => {
  hub.faults.hasRanges = false;
  hub.faults.cuts = { after: 10_000, times: 1 };
  expect(await read(await fetchIt(), 'model-Q4_K_M.gguf')).toBe(toBase64(gguf));
});

test('wrong bytes are fetched once more, and then refused; nothing of them is kept', async () => {
  hub.faults.wrong = 1;
  expect(await read(await fetchIt(), 'model-Q4_K_M.gguf')).toBe(toBase64(gguf));
  const { folder } = await fetchIt();
  await rm(folder, { recursive: true });
  hub.faults.wrong = 1000;
  expect(await refusal(fetchIt())).toMatch(
    /^digest-mismatch: the hub gives other bytes for [\w.-]+ than its digest says$/,
  );
  expect(await readdir(folder)).toEqual([]);
});

test('a part that was kept and is another one is told by the digest', async () => {
  const { folder } = await fetchIt();
  await rm(join(folder, 'model-Q4_K_M.gguf'));
  await writeFile(join(folder, 'model-Q4_K_M.gguf.part'), new Uint8Array(5000));
  expect(await read(await fetchIt(), 'model-Q4_K_M.gguf')).toBe(toBase64(gguf));
});

test('a hub that is gone for good is given up', async () => {
  hub.faults.cuts = { after: 0, times: 1000 };
  expect(await refusal(fetchIt())).toMatch(/^link-lost: the connection to the hub was cut/);
  expect(waited.length).toBe(7);
});

test('a hub that is asked too often is waited for, as long as it says', async () => {
  hub.faults.busy = 4;
  await fetchIt();
  expect(waited).toEqual([1000, 1000, 1000, 1000]);
  expect(said).toContain('the hub asks to wait 1 s');
});

test('the token goes to the hub and not to the host that it leads to', async () => {
  hub.faults.token = 'hf_secret';
  await fetchIt('hf:owner/name', { token: 'hf_secret' });
  expect(hub.requests.some(({ path }) => path.startsWith('cdn'))).toBe(true);
  expect(hub.requests.every(({ path, hasToken }) => hasToken !== path.startsWith('cdn'))).toBe(true);
  expect(said.join()).toContain('after terms that you accepted');
});

test('a refusal says what would do', async () => {
  hub.faults.token = 'hf_secret';
  expect(await refusal(fetchIt())).toBe(
    `unsupported: owner/name asks everyone to accept its terms first: do so at ${hub.url}/owner/name; then set HF_TOKEN to a token of an account that has access`,
  );
  hub.faults.token = null;
  expect(await refusal(fetchIt('hf:owner/other'))).toMatch(/^not-found: the hub shows owner\/other to nobody unknown/);
  expect(await refusal(fetchIt('hf:owner/name@v2'))).toMatch(/^not-found: owner\/name has no such revision/);
  hub.faults.refuses = { status: 403, code: '' };
  expect(await refusal(fetchIt('hf:owner/name', { token: 'hf_other' }))).toMatch(
    /the token in HF_TOKEN has no access to it$/,
  );
  hub.faults.refuses = { status: 500, code: '' };
  expect(await refusal(fetchIt())).toMatch(/^link-lost: the hub answers with status 500/);
  hub.faults.refuses = null;
  expect(await refusal(fetchIt('hf:owner/name', { quant: 'Q2_K' }))).toMatch(
    /there is no GGUF file of the kind Q2_K; there is model-Q4_K_M.gguf/,
  );
});

test('a source is a repository and perhaps a revision, and the hub an address', () => {
  expect(parseHubSource('hf:a/b-c.d')).toEqual({ repository: 'a/b-c.d', revision: null });
  expect(parseHubSource('hf:a/b@refs/pr/1')).toEqual({ repository: 'a/b', revision: 'refs/pr/1' });
  for (const wrong of ['hf:a', 'hf:a/b/c', 'hf:../b', 'hf:a/b@', 'hf:a/b?x', 'a/b'])
    expect(() => parseHubSource(wrong), wrong).toThrow('write hf:OWNER/NAME');
  expect(hubAccessOf({})).toEqual({ endpoint: 'https://huggingface.co', token: null });
  expect(hubAccessOf({ HF_ENDPOINT: 'http://mirror:8080/', HF_TOKEN: ' hf_x ' })).toEqual({
    endpoint: 'http://mirror:8080',
    token: 'hf_x',
  });
  expect(() => hubAccessOf({ HF_ENDPOINT: 'mirror' })).toThrow('HF_ENDPOINT is no address');
});
