import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { importModel } from '../../signal-server/import/import-model.ts';
import { syntheticShapes, writeSyntheticFolder } from './synthetic-models.ts';

const SHAPE = syntheticShapes.llamaQ4;
/** Where its letters begin: one character for each token. */
const FIRST_LETTER = 0x4e00;

export interface TinyModel {
  readonly manifest: Manifest;
  readonly text: ModelText;
  readonly blob: (digest: Digest) => Uint8Array<ArrayBuffer>;
  remove(): Promise<void>;
}

/** A model of three layers with random weights and a character for each token, imported as any other. */
export async function importTinyModel(): Promise<TinyModel> {
  const folder = await mkdtemp(join(tmpdir(), 'chorus-tiny-'));
  await writeSyntheticFolder(join(folder, 'model'), SHAPE);
  const vocab = Object.fromEntries(
    Array.from({ length: SHAPE.vocabulary }, (_, token) => [String.fromCodePoint(FIRST_LETTER + token), token]),
  );
  const model = { type: 'BPE', vocab, merges: [], unk_token: null, fuse_unk: false, byte_fallback: false };
  const bare = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: { type: 'Fuse' } };
  const tokenizer = { version: '1.0', added_tokens: [], ...bare, model };
  await writeFile(join(folder, 'model/tokenizer.json'), JSON.stringify(tokenizer));
  const dataFolder = join(folder, 'data');
  const { manifest } = await importModel(join(folder, 'model'), { dataFolder, onProgress: () => undefined });
  const blobs = new Map<Digest, Uint8Array<ArrayBuffer>>();
  const blob = (digest: Digest): Uint8Array<ArrayBuffer> => {
    const read = blobs.get(digest) ?? new Uint8Array(readFileSync(join(dataFolder, 'blobs', digest)));
    blobs.set(digest, read);
    return read;
  };
  const { tokenizer: file, config } = manifest.tokenizer;
  const text = openModelText(blob(file.digest), blob(config.digest));
  return { manifest, text, blob, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** A text of `count` tokens of the tiny model. */
export function tinyText(count: number, seed: number): string {
  const tokens = Array.from({ length: count }, (_, i) => (seed * 31 + i * i * 7 + i * 13) % SHAPE.vocabulary);
  return String.fromCodePoint(...tokens.map((token) => FIRST_LETTER + token));
}
