import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import { silentBodyOf } from './hub-fetch.ts';
import type { HubFile } from './hub-repository.ts';

/** Attempts in a row that bring no byte. */
const MAX_ATTEMPTS = 8;
const FIRST_WAIT_MS = 500;

export interface DownloadDeps {
  readonly fetch: typeof fetch;
  readonly wait: (ms: number) => Promise<void>;
  /** Told how many bytes of the file are here, which may become fewer. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Fetches a file to `path`, which is there whole and as its digest says, or not at all. What came before a cut is kept beside it,
 * and gone on from. Throws `digest-mismatch` where the bytes are others twice, `link-lost`, or as the hub's fetch.
 */
export async function downloadFile(url: string, file: HubFile, path: string, deps: DownloadDeps): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  if (await isWhole(path, file)) return deps.onBytes(file.size);
  const unfinished = `${path}.part`;
  for (let round = 0; ; round++) {
    await fillFile(url, file, unfinished, deps);
    if (await isWhole(unfinished, file)) return rename(unfinished, path);
    await rm(unfinished, { force: true });
    if (round > 0)
      throw new ChorusError('digest-mismatch', `the hub gives other bytes for ${file.path} than its digest says`);
  }
}

async function fillFile(url: string, { size }: HubFile, unfinished: string, deps: DownloadDeps): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const before = await sizeOf(unfinished);
    try {
      await fetchRest(url, size, unfinished, before > size ? 0 : before, deps);
      return;
    } catch (thrown) {
      const isCut = thrown instanceof ChorusError && thrown.code === 'link-lost';
      const more = (await sizeOf(unfinished)) > before;
      if (more) attempt = -1;
      if (!isCut || attempt + 1 >= MAX_ATTEMPTS) throw thrown;
      await deps.wait(FIRST_WAIT_MS * 2 ** Math.max(0, attempt));
    }
  }
}

/** Adds what is missing from byte `from` on; a hub without ranges begins anew. */
async function fetchRest(
  url: string,
  size: number,
  unfinished: string,
  from: number,
  { fetch: hubFetch, onBytes }: DownloadDeps,
): Promise<void> {
  onBytes(from);
  if (from === size && size > 0) return;
  const response = await hubFetch(url, from === 0 ? {} : { headers: { range: `bytes=${from}-` } });
  const begins = Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? 0);
  const isRest = from > 0 && response.status === 206 && begins === from;
  const file = await open(unfinished, isRest ? 'a' : 'w');
  let done = isRest ? from : 0;
  try {
    if (response.status === 416) throw new ChorusError('link-lost', 'the hub does not know this part of the file');
    for await (const chunk of silentBodyOf(response)) {
      if (done + chunk.length > size) throw new ChorusError('bad-message', 'the hub gives more bytes than it said');
      await file.writeFile(chunk);
      done += chunk.length;
      onBytes(done);
    }
  } finally {
    await file.close();
  }
  if (done < size)
    throw new ChorusError('link-lost', `the connection to the hub was cut after ${done} of ${size} bytes`);
}

async function isWhole(path: string, { size, digest }: HubFile): Promise<boolean> {
  if ((await sizeOf(path)) !== size || !(await isThere(path))) return false;
  const hash = createHash(digest.kind === 'git' ? 'sha1' : 'sha256');
  if (digest.kind === 'git') hash.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex') === digest.hex;
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (found) => found.size,
    () => 0,
  );
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
