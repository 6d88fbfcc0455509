/**
 * Compares how texts are cut: by us from tokenizer.json or from a GGUF file's metadata, by llama.cpp, and by Rust's tokenizers
 * (token-oracle.py). Where there is no GGUF file, one of the vocabulary alone is written, with the words cut as PRE says.
 * usage: npx tsx test/bench/accuracy/tokens.ts tokenizer FILE.gguf OUT.json
 *        npx tsx test/bench/accuracy/tokens.ts compare TOKENIZER.json EXPECTED.json PRE|FILE.gguf [NODE-LLAMA-CPP-FOLDER]
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { openModelText } from '#shared/text/model-text.ts';
import { openGguf } from '../../../signal-server/import/gguf/gguf-file.ts';
import { parseFacts } from '../../../signal-server/import/gguf/gguf-metadata.ts';
import { tokenizerFiles } from '../../../signal-server/import/gguf/gguf-tokenizer.ts';
import { writeGguf } from '../../support/write-gguf.ts';

type Encode = (text: string) => readonly number[];

const vocabularySchema = z.object({
  added_tokens: z.array(z.object({ id: z.int(), content: z.string(), special: z.boolean() })),
  model: z.object({
    vocab: z.record(z.string(), z.int()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});
const expectedSchema = z.object({ made: z.string(), answers: z.array(z.tuple([z.string(), z.array(z.int())])) });

const [mode, first = '', second = '', third = '', llamaFolder] = process.argv.slice(2);
if (mode === 'tokenizer') {
  const { tokenizer } = await filesOf(first);
  await writeFile(second, tokenizer);
} else {
  const scratch = await mkdtemp(join(tmpdir(), 'chorus-tokens-'));
  try {
    await compareAll(scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
process.exit();

async function compareAll(scratch: string): Promise<void> {
  const bytes = new Uint8Array(await readFile(first));
  const expected = expectedSchema.parse(JSON.parse(await readFile(second, 'utf8')));
  const config = new TextEncoder().encode(JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast' }));
  compare('ours, by tokenizer.json', encoder(bytes, config), expected);
  let gguf = third;
  if (!gguf.endsWith('.gguf')) {
    gguf = join(scratch, 'vocabulary.gguf');
    await writeVocabulary(gguf, vocabularySchema.parse(JSON.parse(new TextDecoder().decode(bytes))), third);
  }
  const files = await filesOf(gguf);
  compare('ours, by GGUF metadata', encoder(files.tokenizer, files.config), expected);
  if (llamaFolder !== undefined) compare('llama.cpp', await llama(gguf, llamaFolder), expected);
}

function encoder(tokenizer: Uint8Array<ArrayBuffer>, config: Uint8Array<ArrayBuffer>): Encode {
  const { post_processor: _, ...file } = JSON.parse(new TextDecoder().decode(tokenizer)) as Record<string, unknown>;
  // What stands before a text belongs to prompts, and not to how it is cut.
  const text = openModelText(new TextEncoder().encode(JSON.stringify({ ...file, post_processor: null })), config);
  return (each) => text.encode(each);
}

async function filesOf(path: string) {
  const file = await openGguf(resolve(path));
  file.close();
  return tokenizerFiles(parseFacts(file.metadata, () => undefined).tokenizer);
}

/** Metadata of the smallest llama, for programs that ask for it before they read the vocabulary. */
async function writeVocabulary(
  path: string,
  { added_tokens: added, model }: z.infer<typeof vocabularySchema>,
  pre: string,
) {
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { id, content } of added) tokens[id] = content;
  const kinds = new Array<number>(tokens.length).fill(1);
  for (const { id, special } of added) kinds[id] = special ? 3 : 4;
  const ones = ['block_count', 'context_length', 'attention.head_count'].map(
    (key) => [`llama.${key}`, { u32: 1 }] as const,
  );
  const widths = ['embedding_length', 'feed_forward_length'].map((key) => [`llama.${key}`, { u32: 32 }] as const);
  await writeGguf(
    path,
    {
      'general.architecture': 'llama',
      ...(Object.fromEntries([...ones, ...widths]) as Record<string, { u32: number }>),
      'llama.attention.layer_norm_rms_epsilon': { f32: 1e-5 },
      'llama.rope.dimension_count': { u32: 32 },
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': pre,
      'tokenizer.ggml.tokens': { strings: Array.from(tokens, (token, id) => token ?? `[unused ${id}]`) },
      'tokenizer.ggml.token_type': { i32s: kinds },
      'tokenizer.ggml.merges': {
        strings: model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
      },
      'tokenizer.ggml.add_bos_token': false,
      'tokenizer.ggml.bos_token_id': { u32: added[0]?.id ?? 0 },
      'tokenizer.ggml.eos_token_id': { u32: added[0]?.id ?? 0 },
    },
    [],
  );
}

async function llama(path: string, folder: string): Promise<Encode> {
  const library = (await import(pathToFileURL(resolve(folder, 'dist/index.js')).href)) as {
    getLlama: (options: object) => Promise<{
      loadModel(options: object): Promise<{ tokenize(text: string, special: boolean, options: string): number[] }>;
    }>;
  };
  const model = await (
    await library.getLlama({ gpu: false, build: 'never' })
  ).loadModel({ modelPath: path, vocabOnly: true });
  return (text) => model.tokenize(text, false, 'trimLeadingSpace');
}

function compare(who: string, encode: Encode, { made, answers }: z.infer<typeof expectedSchema>): void {
  const differing = answers.filter(([text, ids]) => encode(text).join() !== ids.join()).map(([text]) => text);
  // llama.cpp normalizes nothing, whatever the tokenizer asks for.
  const composed = differing.filter((text) => text.normalize('NFC') === text);
  const shown = composed.slice(0, 5).map((text) => JSON.stringify(text));
  console.log(
    `${who}: ${differing.length} of ${answers.length} texts other than by ${made}, ${composed.length} of them in NFC${shown.length > 0 ? `: ${shown.join(' ')}` : ''}`,
  );
}
