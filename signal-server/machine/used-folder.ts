import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setupError } from './file-fault.ts';

/** Throws `internal`, for the operator, where a data folder that was in use has lost its server's key. */
export async function demandServerKey(folder: string): Promise<void> {
  if (await isThere(join(folder, 'server.key'))) return;
  const models = await readdir(join(folder, 'models')).catch(() => []);
  const traces = [
    'log.key',
    'chorus.sqlite',
    'log/checkpoint',
    ...models.filter((name) => name.endsWith('.json')).map((name) => `models/${name}`),
  ];
  const found = await firstThere(folder, traces);
  if (found === null) return;
  throw setupError(
    `${join(folder, 'server.key')} is missing, but ${found} is there: the folder was in use. Without its key the server is ` +
      'another one, to whom its models do not belong. Put the key back from a backup; or, to go on as another server, say ' +
      '--new-server-key.',
  );
}

/** Throws `internal`, for the operator, where a data folder that was in use has lost its database. */
export async function demandDatabase(folder: string): Promise<void> {
  const path = join(folder, 'chorus.sqlite');
  const bytes = await bytesOf(path);
  if (bytes !== null && bytes > 0) return;
  // The first start makes the database before the log.
  const found = await firstThere(folder, ['log.key', 'log/checkpoint']);
  if (found === null) return;
  throw setupError(
    `${path} is ${bytes === null ? 'missing' : 'empty'}, but ${found} is there: the folder was in use. With it go trust, ` +
      'proven faults, receipts, and the record by which an older copy of the log is noticed. Put it back from a backup; or, ' +
      'to go on without all that, say --new-database.',
  );
}

/** Throws `internal`, for the operator, where of a witness's key and its memory one is lost: it would cosign a fork. */
export async function demandWitnessMemory(folder: string): Promise<void> {
  const [key, memory] = [join(folder, 'witness.key'), join(folder, 'witness.sqlite')];
  const [isKeyThere, bytes] = [await isThere(key), await bytesOf(memory)];
  const isMemoryThere = bytes !== null && bytes > 0;
  if (isKeyThere === isMemoryThere) return;
  const [lost, left] = isKeyThere ? [memory, key] : [key, memory];
  throw setupError(
    `${lost} is ${isKeyThere && bytes !== null ? 'empty' : 'missing'}, but ${left} is there: the folder was in use. Put the ` +
      `newest copy of it back; or, to begin as another witness, put ${left} away too.`,
  );
}

export async function isThere(path: string): Promise<boolean> {
  return (await bytesOf(path)) !== null;
}

async function firstThere(folder: string, names: readonly string[]): Promise<string | null> {
  for (const name of names) if (await isThere(join(folder, name))) return name;
  return null;
}

async function bytesOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
      throw error;
    },
  );
}
