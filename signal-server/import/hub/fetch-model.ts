import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import { formatBytes } from '../report.ts';
import { chooseFiles } from './choose-files.ts';
import { downloadFile } from './download-file.ts';
import { createHubFetch, withLimitedAnswers, type HubAccess } from './hub-fetch.ts';
import { openRepository, type HubFile } from './hub-repository.ts';
import { parseHubSource } from './hub-source.ts';

const HUB = 'https://huggingface.co';

export interface FetchModelOptions {
  readonly quant: string | undefined;
  readonly dataFolder: string;
  readonly access: Omit<HubAccess, 'onWait'>;
  /** What is about to be fetched, in words, before the first byte. */
  readonly onStart: (words: string) => void;
  readonly onProgress: (progress: { label: string; done: number; total: number }) => void;
}

export interface FetchedModel {
  /** Holds the files, and nothing else. */
  readonly folder: string;
  readonly name: string;
  /** The repository's page at that commit. */
  readonly origin: string;
}

/** Where the hub is, and who asks, as Hugging Face's own programs have it. Throws `bad-message` for an address that is none. */
export function hubAccessOf(
  environment: Readonly<Record<string, string | undefined>>,
): Pick<HubAccess, 'endpoint' | 'token'> {
  const endpoint = (environment['HF_ENDPOINT'] || HUB).replace(/\/+$/, '');
  if (!/^https?:\/\/[^\s/?#]+$/.test(endpoint) || !URL.canParse(endpoint))
    throw new ChorusError('bad-message', 'HF_ENDPOINT is no address of a hub; write https://HOST');
  return { endpoint, token: environment['HF_TOKEN']?.trim() || null };
}

/**
 * Fetches the files of `hf:OWNER/NAME[@REVISION]` that a model is made of into the data folder; a fetch that was broken off goes on
 * where it was. Throws as its parts do, and `too-large` where the disk has no room.
 */
export async function fetchModel(source: string, options: FetchModelOptions): Promise<FetchedModel> {
  const { dataFolder, access, onStart, onProgress } = options;
  const parsed = parseHubSource(source);
  const { repository } = parsed;
  const waiting = (ms: number) =>
    onProgress({ label: `the hub asks to wait ${Math.ceil(ms / 1000)} s`, done: 0, total: 1 });
  const hubFetch = createHubFetch({ ...access, onWait: waiting }, repository);
  onProgress({ label: `asking for ${repository}`, done: 0, total: 1 });
  const { commit, licence, isGated, files } = await openRepository(
    parsed,
    access.endpoint,
    withLimitedAnswers(hubFetch),
  );
  const chosen = chooseFiles(files, options.quant);
  const total = sizeOf(chosen);
  onStart(
    `${repository} at ${commit}: ${chosen.length} files of ${formatBytes(total)}, licence ${licence || 'not said'}` +
      `${isGated ? ', after terms that you accepted' : ''}`,
  );
  const folder = join(dataFolder, 'downloads', `${repository.replace('/', '--')}@${commit}`);
  await mkdir(folder, { recursive: true });
  await demandRoom(folder, total, repository);
  let before = 0;
  for (const file of chosen) {
    const url = `${access.endpoint}/${repository}/resolve/${commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
    const onBytes = (bytes: number) => onProgress({ label: `fetching ${file.path}`, done: before + bytes, total });
    await downloadFile(url, file, join(folder, file.path), { fetch: hubFetch, wait: access.wait, onBytes });
    before += file.size;
  }
  return { folder, name: repository.split('/')[1]!, origin: `${access.endpoint}/${repository}/tree/${commit}` };
}

/** Files lie there once as they come and once as what is made of them, whatever of them came before. */
async function demandRoom(folder: string, total: number, repository: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= 2 * total) return;
  throw new ChorusError(
    'too-large',
    `${repository} needs ${formatBytes(2 * total)} on the disk of ${folder}, and ${formatBytes(free)} are free; make room, or choose a smaller --quant or another --data`,
  );
}

function sizeOf(files: readonly HubFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}
