import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { importModel } from '../../signal-server/import/import-model.ts';
import { importedOnce } from './imported-wren.ts';
import { syntheticShapes, writeSyntheticFolder } from './synthetic-models.ts';

const SHAPE = syntheticShapes.llamaQ4;
/** Where its letters begin: one character for each token. */
const FIRST_LETTER = 0x4e00;

export interface TinyModel {
  readonly manifest: Manifest;
  readonly text: ModelText;
  readonly blob: (digest: Digest) => Uint8Array<ArrayBuffer>;
}

/** A model of three layers with random weights and a character for each token, imported as any other. */
export async function importTinyModel(): Promise<TinyModel> {
  const { dataFolder, manifest } = await importedOnce('tiny', async (unfinished) => {
    const folder = await mkdtemp(join(tmpdir(), 'chorus-tiny-'));
    try {
      await writeSyntheticFolder(folder, SHAPE);
      await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(letterTokenizer()));
      return (await importModel(folder, { name: 'tiny', dataFolder: unfinished, onProgress: () => undefined }))
        .manifest;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
  const blobs = new Map<Digest, Uint8Array<ArrayBuffer>>();
  const blob = (digest: Digest): Uint8Array<ArrayBuffer> => {
    const read = blobs.get(digest) ?? new Uint8Array(readFileSync(join(dataFolder, 'blobs', digest)));
    blobs.set(digest, read);
    return read;
  };
  const { tokenizer, config } = manifest.tokenizer;
  return { manifest, blob, text: openModelText(blob(tokenizer.digest), blob(config.digest)) };
}

function letterTokenizer() {
  const letters = Array.from({ length: SHAPE.vocabulary }, (_, token) => String.fromCodePoint(FIRST_LETTER + token));
  const vocab = Object.fromEntries(letters.map((letter, token) => [letter, token]));
  return {
    ...{ version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null },
    decoder: { type: 'Fuse' },
    model: { type: 'BPE', vocab, merges: [], unk_token: null, fuse_unk: false, byte_fallback: false },
  };
}

/** A text of `count` tokens of the tiny model. */
export function tinyText(count: number, seed: number): string {
  const tokens = Array.from({ length: count }, (_, i) => (seed * 31 + i * i * 7 + i * 13) % SHAPE.vocabulary);
  return String.fromCodePoint(...tokens.map((token) => FIRST_LETTER + token));
}
