import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Digest } from '#shared/ids.ts';
import { stageBlobs } from '#shared/model/cut.ts';
import { manifestSchema, type Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { importModel } from '../../signal-server/import/import-model.ts';

/** The default model, imported. Its folder is shared by all tests, so they only read there. */
export interface ImportedWren {
  readonly manifest: Manifest;
  /** Holds `blobs/DIGEST`, as a server's data folder does. */
  readonly dataFolder: string;
  readonly blob: (digest: Digest) => Uint8Array<ArrayBuffer>;
  /** All blobs that loading a stage needs. */
  readonly blobs: (range: StageRange) => Map<Digest, Uint8Array<ArrayBuffer>>;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const cache = join(root, 'node_modules/.cache/chorus-test');
/** The sources of an import: a change to any file here makes another folder. */
const sources = ['models/wren', 'models/wren/onnx', 'models/wren/recipe', 'signal-server/import', 'shared/model'];

/** Imports once for all test processes: whoever is first to finish moves its folder into place, whole. */
export async function importWren(quant: 'q4' | 'q8' | 'fp32' = 'q4'): Promise<ImportedWren> {
  const { dataFolder, manifest } = await importedOnce(`wren-${quant}`, async (unfinished) => {
    const folder = join(root, 'models/wren');
    return (await importModel(folder, { quant, dataFolder: unfinished, onProgress: () => undefined })).manifest;
  });
  const blob = (digest: Digest) => new Uint8Array(readFileSync(join(dataFolder, 'blobs', digest)));
  return {
    manifest,
    dataFolder,
    blob,
    blobs: (range) => new Map(stageBlobs(manifest, range).map(({ digest }) => [digest, blob(digest)])),
  };
}

/** The data folder of a model that is imported when it is first needed, and its manifest. */
export async function importedOnce(
  name: string,
  importInto: (dataFolder: string) => Promise<Manifest>,
): Promise<Pick<ImportedWren, 'dataFolder' | 'manifest'>> {
  const dataFolder = join(cache, `${name}-${await sourcesDigest()}`);
  if (!(await exists(dataFolder))) await fillOnce(dataFolder, importInto);
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(dataFolder, 'manifest.json'), 'utf8')));
  return { dataFolder, manifest };
}

async function fillOnce(dataFolder: string, importInto: (dataFolder: string) => Promise<Manifest>): Promise<void> {
  await mkdir(cache, { recursive: true });
  const unfinished = await mkdtemp(join(cache, 'unfinished-'));
  const manifest = await importInto(unfinished);
  await writeFile(join(unfinished, 'manifest.json'), JSON.stringify(manifest));
  try {
    await rename(unfinished, dataFolder);
  } catch (error) {
    // Another process was faster; its import is the same.
    await rm(unfinished, { recursive: true });
    if (!(await exists(dataFolder))) throw error;
  }
}

async function sourcesDigest(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of sources) {
    const entries = await readdir(join(root, folder), { withFileTypes: true });
    for (const entry of entries.filter((candidate) => candidate.isFile())) {
      hash.update(entry.name).update(await readFile(join(root, folder, entry.name)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
