import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { utf8 } from '#shared/bytes.ts';
import type { Clock } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { widthAt } from '#shared/log/tile-hashes.ts';
import { hashesAtLevel, tilePath, TILE_WIDTH, type Tile } from '#shared/log/tile-path.ts';
import type { LogService } from '../log/log-service.ts';
import type { DataFolder } from '../machine/data-folder.ts';
import { copyDurably, makeFolder, syncFolder, writeDurably } from '../machine/durable-file.ts';
import { MANIFEST_FILE, signManifest, type BackupFile, type BackupManifest } from './backup-manifest.ts';

export interface BackupDeps {
  readonly dataFolder: DataFolder;
  readonly log: Pick<LogService, 'head' | 'tile'>;
  /** Copies the database as it is when this is called, while it goes on. */
  readonly copyDatabase: (path: string) => Promise<void>;
  readonly clock: Pick<Clock, 'wallMs'>;
  readonly version: string;
}

export interface MadeBackup {
  readonly folder: string;
  readonly entries: number;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Copies a data folder that is in use, but for blobs, into a new folder: as it is at one moment, whole or not at all. The
 * database may lag behind the log, never lead it. Throws `bad-message` if there is something
 * already, and for a folder in the data folder.
 */
export async function makeBackup(to: string, deps: BackupDeps): Promise<MadeBackup> {
  const folder = resolve(to);
  if (isInside(folder, deps.dataFolder.path))
    throw wrongFolder(`${folder} is in the data folder: whatever takes the one takes both. Name a folder elsewhere`);
  await demandNothingThere(folder);
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await makeFolder(unfinished);
  try {
    await chmod(unfinished, 0o700);
    const manifest = await fill(unfinished, deps);
    const envelope = await signManifest(manifest, deps.dataFolder.serverIdentity);
    await writeDurably(join(unfinished, MANIFEST_FILE), utf8(JSON.stringify(envelope)));
    await rename(unfinished, folder);
    await syncFolder(dirname(folder));
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    return { folder, entries: manifest.entries, files: manifest.files.length, bytes };
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** An empty folder will do. */
export async function demandNothingThere(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (names.length > 0) throw wrongFolder(`${folder} is not empty: name another folder, or move it away`);
}

export function isInside(path: string, folder: string): boolean {
  return `${path}${sep}`.startsWith(`${folder}${sep}`);
}

/** A folder that whoever called should not have named: it ends a program with status 2. */
export function wrongFolder(message: string): ChorusError {
  return new ChorusError('bad-message', message, { exitStatus: 2 });
}

async function fill(to: string, deps: BackupDeps): Promise<BackupManifest> {
  const { dataFolder, log, copyDatabase, clock, version } = deps;
  // First, so that no witness is kept that has seen more than the log of this moment.
  await copyFiles(dataFolder.path, to, await namesIn(dataFolder.path, 'witnesses'));
  const copying = copyDatabase(join(to, 'chorus.sqlite'));
  // Of the same moment as the database.
  const { head } = log;
  const madeAtMs = Math.floor(clock.wallMs());
  await copying;
  await copyLog(join(to, 'log'), log, head);
  const keys = ['server.key', 'log.key', ...(await namesIn(dataFolder.path, 'keys'))];
  await copyFiles(dataFolder.path, to, [...keys, ...(await namesIn(dataFolder.path, 'models'))]);
  const files = await describeFiles(to);
  return { format: 'chorus-backup/1', madeAtMs, version, entries: head.size, files };
}

async function copyLog(to: string, log: BackupDeps['log'], { size, note }: LogService['head']): Promise<void> {
  for (const tile of tilesOf(size)) {
    const bytes = await log.tile(tile);
    if (bytes === null) throw new ChorusError('internal', `the log does not show its ${tilePath(tile)}`);
    const path = join(to, tilePath(tile));
    await makeFolder(dirname(path));
    await writeDurably(path, bytes);
  }
  await makeFolder(to);
  await writeDurably(join(to, 'checkpoint'), utf8(note));
}

/** All tiles of a log of so many entries. */
function* tilesOf(size: number): Generator<Tile> {
  for (let level = 0; hashesAtLevel(size, level) > 0; level++) {
    for (let index = 0; index * TILE_WIDTH < hashesAtLevel(size, level); index++) {
      const width = widthAt(level, index, size);
      yield { level, index, width };
      if (level === 0) yield { level: 'entries', index, width };
    }
  }
}

async function namesIn(folder: string, name: string): Promise<string[]> {
  const entries = await readdir(join(folder, name), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  // Those with a dot are being written.
  return entries.filter((each) => each.isFile() && !each.name.startsWith('.')).map((each) => `${name}/${each.name}`);
}

async function copyFiles(from: string, to: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await makeFolder(dirname(join(to, path)));
    await copyDurably(join(from, path), join(to, path));
  }
}

async function describeFiles(folder: string): Promise<BackupFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((each) => each.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const files: BackupFile[] = [];
  for (const path of paths.sort()) {
    const named = path.slice(folder.length + 1).replaceAll('\\', '/');
    files.push({ path: named, bytes: (await stat(path)).size, sha256: await digestOfFile(path) });
  }
  return files;
}

export async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex') as Digest;
}
