import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { OMS_FILE, parseOmsBundle, MAX_OMS_BYTES, type SourceFile } from '#shared/model/oms.ts';
import { isHubSource, parseHubSource } from '../../import/hub/hub-source.ts';
import { locateFolder, modelName, modelNameOf, readInsideIfThere } from '../../import/model-folder.ts';
import { IGNORED_PATHS, ignoredBy } from '../../import/model-source.ts';
import { hashSourceFiles, listSourceFile, listSourceFiles, type SourceListing } from '../../import/source-files.ts';
import { setupError } from '../../machine/file-fault.ts';
import type { CatalogEntry } from '../../placement/model-catalog.ts';

/**
 * The model of `entries` that was imported from just this source: the same files by their digests or, from a hub, the same
 * repository at the commit that is named, if one is. Of files that are gone, the one of their name. Null if it has to be
 * imported; throws where its name is that of a model that was made of something else.
 */
export async function presentModel(source: string, entries: readonly CatalogEntry[]): Promise<CatalogEntry | null> {
  const { name, isSame } = isHubSource(source) ? await fromHub(source) : await fromFiles(resolve(source), entries);
  const same = entries.filter(isSame);
  const other = entries.find(({ manifest }) => manifest.name === name);
  if (same.length > 0 || other === undefined) return same.find(({ isWhole }) => isWhole) ?? null;
  const { root, origin } = other.manifest.source;
  const place = origin === null ? '' : `, of ${origin}`;
  throw setupError(
    `${source} is not what the model ${name} here was made of (root ${root.slice(0, 16)}…${place}). To have both, import it with ` +
      `chorus import-model --name and leave it out of --model; to have it alone, first remove models/${other.digest}.json from the data folder`,
  );
}

interface Wanted {
  /** As it would be imported. */
  readonly name: string;
  readonly isSame: (entry: CatalogEntry) => boolean;
}

/** Files are hashed only where a model is here that files of these names were made into. */
async function fromFiles(path: string, entries: readonly CatalogEntry[]): Promise<Wanted> {
  const name = modelNameOf(path);
  const found = await stat(path).catch(() => null);
  if (found === null) return { name, isSame: ({ manifest }) => manifest.name === name };
  const listing = found.isFile()
    ? await listSourceFile(await locateFolder(dirname(path)), basename(path))
    : await listFolder(path);
  const names = sorted(listing.names);
  const isLikely = ({ manifest: { source } }: CatalogEntry): boolean =>
    sorted(source.files.map((file) => file.name)) === names;
  if (!entries.some(isLikely)) return { name, isSame: () => false };
  process.stdout.write(`comparing ${path} with what was imported\n`);
  const files = textOf(await hashSourceFiles(listing));
  return { name, isSame: ({ manifest }) => textOf(manifest.source.files) === files };
}

async function listFolder(path: string): Promise<SourceListing> {
  const located = await locateFolder(path);
  const bundle = await readInsideIfThere(located, OMS_FILE, MAX_OMS_BYTES);
  return listSourceFiles(located, bundle === null ? IGNORED_PATHS : ignoredBy(parseOmsBundle(bundle)));
}

function textOf(files: readonly SourceFile[]): string {
  return sorted(files.map(({ name, sha256 }) => `${name} ${sha256}`));
}

function sorted(lines: readonly string[]): string {
  return [...lines].sort().join('\n');
}

async function fromHub(source: string): Promise<Wanted> {
  // Large, and needed by this alone.
  const { hubAccessOf } = await import('../../import/hub/fetch-model.ts');
  const { repository, revision } = parseHubSource(source);
  const pages = `${hubAccessOf(process.env).endpoint}/${repository}/tree/`;
  const page = revision !== null && /^[0-9a-f]{40}$/.test(revision) ? pages + revision : pages;
  return {
    name: modelName(repository.split('/')[1]!),
    isSame: ({ manifest }) => manifest.source.origin?.startsWith(page) ?? false,
  };
}
