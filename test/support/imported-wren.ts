import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Digest } from '#shared/ids.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { importModel } from '../../signal-server/import/import-model.ts';

/** The default model, imported into a folder of its own. */
export interface ImportedWren {
  readonly manifest: Manifest;
  readonly dataFolder: string;
  blob(digest: Digest): Uint8Array<ArrayBuffer>;
  /** All blobs that loading a stage needs. */
  blobs(range: StageRange): Map<Digest, Uint8Array<ArrayBuffer>>;
  remove(): Promise<void>;
}

export async function importWren(): Promise<ImportedWren> {
  const dataFolder = await mkdtemp(join(tmpdir(), 'chorus-wren-'));
  const folder = fileURLToPath(new URL('../../models/wren', import.meta.url));
  const { manifest } = await importModel(folder, { quant: 'q4', dataFolder, onProgress: () => undefined });
  const blob = (digest: Digest): Uint8Array<ArrayBuffer> =>
    new Uint8Array(readFileSync(join(dataFolder, 'blobs', digest)));
  return {
    manifest,
    dataFolder,
    blob,
    blobs: (range) => new Map(stageBlobs(manifest, range).map(({ digest }) => [digest, blob(digest)])),
    remove: () => rm(dataFolder, { recursive: true, force: true }),
  };
}
