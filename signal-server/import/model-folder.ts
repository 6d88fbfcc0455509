import { constants } from 'node:fs';
import { open, readdir, realpath } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, sep } from 'node:path';
import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';
import { describeFault, formWords } from '#shared/form-words.ts';
import { MAX_POSITIONS } from '#shared/limits.ts';

export const MAX_CONFIG_BYTES = 1024 * 1024;
const MAX_TOKENIZER_BYTES = 64 * 1024 * 1024;
export const MAX_GRAPH_BYTES = 2 ** 31 - 1;

const size = z.int().min(1);
const tokenIds = z
  .union([
    z
      .int()
      .min(0)
      .transform((id) => [id]),
    z.array(z.int().min(0)).max(32),
  ])
  .nullish();

/** The keys of config.json that count here; others are the exporter's business. */
const configSchema = z.object({
  architectures: z.array(z.string().max(100)).optional(),
  model_type: z.string().max(100),
  num_hidden_layers: size,
  hidden_size: size,
  vocab_size: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size.max(MAX_POSITIONS * 16),
  tie_word_embeddings: z.boolean().nullish(),
  eos_token_id: tokenIds,
});
export type ModelConfig = z.infer<typeof configSchema>;

const generationSchema = z.object({ eos_token_id: tokenIds });

/** A Hugging Face style folder, read. */
export interface ModelFolder {
  readonly path: string;
  readonly name: string;
  readonly config: ModelConfig;
  readonly endTokens: readonly number[];
  /** tokenizer.json and tokenizer_config.json; the latter with the chat template in it, wherever it was. */
  readonly tokenizer: Uint8Array<ArrayBuffer>;
  readonly tokenizerConfig: Uint8Array<ArrayBuffer>;
  readonly card: Uint8Array<ArrayBuffer> | null;
  /** Paths of *.onnx files relative to the folder. */
  readonly graphs: readonly string[];
  /** Names of the files that all this was read from. */
  readonly textFiles: readonly string[];
}

const requiredTexts = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];
const optionalTexts = ['generation_config.json', 'chat_template.jinja', 'README.md'];

/** The folder's path without links on the way. Throws `bad-model` if it is not there. */
export async function locateFolder(folder: string): Promise<string> {
  return realpath(folder).catch(() => {
    throw new ChorusError('bad-model', `there is no folder ${folder}`);
  });
}

/** Reads what a model folder, a path without links, holds beside its graphs. Throws `bad-model` naming the file that is missing or wrong. */
export async function readModelFolder(path: string): Promise<ModelFolder> {
  const config = configSchema.safeParse(await readJson(path, 'config.json'), { error: formWords });
  if (!config.success) throw new ChorusError('bad-model', `config.json: ${faultsOf(config.error)}`);
  const generation = generationSchema.safeParse((await readJson(path, 'generation_config.json', true)) ?? {}, {
    error: formWords,
  });
  if (!generation.success) throw new ChorusError('bad-model', `generation_config.json: ${faultsOf(generation.error)}`);
  await readJson(path, 'tokenizer.json');
  return {
    path,
    name: modelNameOf(path),
    config: config.data,
    endTokens: generation.data.eos_token_id ?? config.data.eos_token_id ?? [],
    tokenizer: await readInside(path, 'tokenizer.json', MAX_TOKENIZER_BYTES),
    tokenizerConfig: await readTokenizerConfig(path),
    card: await readInsideIfThere(path, 'README.md', MAX_CONFIG_BYTES),
    graphs: [...(await onnxFiles(path, 'onnx')), ...(await onnxFiles(path, ''))],
    textFiles: [...requiredTexts, ...(await presentFiles(path, optionalTexts))],
  };
}

function faultsOf({ issues }: z.ZodError): string {
  return issues.map((issue) => describeFault(issue, 'the whole of it')).join('; ');
}

/** Newer repositories keep the template in a file of its own; here it travels inside the tokenizer's configuration. */
async function readTokenizerConfig(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readInside(path, 'tokenizer_config.json', MAX_CONFIG_BYTES);
  const template = await readInsideIfThere(path, 'chat_template.jinja', MAX_CONFIG_BYTES);
  const config = z.record(z.string(), z.unknown()).safeParse(await readJson(path, 'tokenizer_config.json'));
  if (!config.success) throw new ChorusError('bad-model', 'tokenizer_config.json is not an object');
  if (template === null || config.data.chat_template !== undefined) return bytes;
  return new TextEncoder().encode(
    JSON.stringify({ ...config.data, chat_template: new TextDecoder().decode(template) }),
  );
}

async function presentFiles(path: string, names: readonly string[]): Promise<string[]> {
  const present = await Promise.all(names.map((name) => resolveInside(path, name).catch(ifMissing)));
  return names.filter((_, i) => present[i] !== null);
}

async function onnxFiles(path: string, folder: string): Promise<string[]> {
  const names = await readdir(join(path, folder)).catch(() => []);
  return names.filter((name) => name.endsWith('.onnx')).map((name) => join(folder, name));
}

/** The name of a model that a folder or file is imported as. */
export function modelNameOf(path: string): string {
  return modelName(basename(path).replace(/\.gguf$/i, ''));
}

/** A manifest's name: lower case, with dashes for what it may not hold. */
export function modelName(text: string): string {
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 64);
  return name === '' ? 'model' : name;
}

/** Opens a file under `folder`. Throws `bad-model` if its path, or a link on the way, leads outside. */
export async function resolveInside(folder: string, path: string): Promise<string> {
  const isPlain = !isAbsolute(path) && !/[\\\0]/.test(path) && !path.split('/').includes('..');
  if (!isPlain)
    throw new ChorusError('bad-model', `the path ${JSON.stringify(path.slice(0, 200))} leads outside the model folder`);
  const real = await realpath(join(folder, path)).catch(() => {
    throw new ChorusError('bad-model', `the file ${path.slice(0, 200)} is missing`, { missing: true });
  });
  const fromFolder = relative(await outermost(folder), real);
  if (fromFolder.startsWith(`..${sep}`) || fromFolder === '..' || isAbsolute(fromFolder)) {
    throw new ChorusError('bad-model', `the link ${path.slice(0, 200)} leads outside the model folder`);
  }
  return real;
}

/** A snapshot in a cache of Hugging Face is a folder of links to the blobs beside it; any other folder is a world of its own. */
async function outermost(folder: string): Promise<string> {
  const real = await realpath(folder);
  const [, repository] = /^(.*[\\/]models--[^\\/]+)[\\/]snapshots[\\/][0-9a-f]{40}$/.exec(real) ?? [];
  return repository ?? real;
}

/** All bytes of a plain file under `folder`. Throws `bad-model` if it is missing, no file, or larger than `maxBytes`. */
export async function readInside(folder: string, path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const file = await open(await resolveInside(folder, path), constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new ChorusError('bad-model', `${path} is not a file`);
    if (stat.size > maxBytes) throw new ChorusError('bad-model', `${path} is larger than ${maxBytes} bytes`);
    const bytes = new Uint8Array(stat.size);
    let done = 0;
    while (done < bytes.length) {
      const { bytesRead } = await file.read(bytes, done, Math.min(bytes.length - done, 2 ** 30), done);
      if (bytesRead === 0) throw new ChorusError('bad-model', `${path} shrank while it was read`);
      done += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** As readInside, null where there is no such file. */
export async function readInsideIfThere(
  folder: string,
  path: string,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  return readInside(folder, path, maxBytes).catch(ifMissing);
}

/** What a JSON file under `folder` says; null where `isOptional` and there is none. Throws `bad-model` as `readInside`, and for what is no JSON. */
export async function readJson(
  folder: string,
  path: string,
  isOptional = false,
  maxBytes = MAX_TOKENIZER_BYTES,
): Promise<unknown> {
  const reading = readInside(folder, path, maxBytes);
  const bytes = await (isOptional ? reading.catch(ifMissing) : reading);
  if (bytes === null) return null;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new ChorusError('bad-model', `${path} is not JSON`);
  }
}

function ifMissing(error: unknown): null {
  if (error instanceof ChorusError && error.details.missing === true) return null;
  throw error;
}
