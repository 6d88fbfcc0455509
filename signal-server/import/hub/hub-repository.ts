import { listFiles, modelInfo } from '@huggingface/hub';
import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';
import { sourceFileSchema } from '#shared/model/oms.ts';
import type { HubSource } from './hub-source.ts';

const MAX_FILES = 20_000;
const commitSchema = z.string().regex(/^[0-9a-f]{40}$/);

const fileSchema = z.object({
  path: sourceFileSchema.shape.name,
  size: z.int().min(0),
  /** Git's name of the file's bytes, or of the pointer to them. */
  oid: z.string().regex(/^[0-9a-f]{40}$/),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().min(0) }).optional(),
});

/** A file of a repository at one commit. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** SHA-256 of large files, git's SHA-1 of `blob SIZE\0` and the bytes of small ones. */
  readonly digest: { readonly kind: 'sha256' | 'git'; readonly hex: string };
}

export interface HubRepository {
  readonly commit: string;
  readonly licence: string;
  readonly isGated: boolean;
  readonly files: readonly HubFile[];
}

/** What a repository holds at a revision, pinned to its commit. Throws as `createHubFetch`, `bad-message` for answers in no form. */
export async function openRepository(
  { repository, revision }: HubSource,
  endpoint: string,
  hubFetch: typeof fetch,
): Promise<HubRepository> {
  const access = { hubUrl: endpoint, fetch: hubFetch };
  try {
    const info = await modelInfo({
      ...access,
      name: repository,
      ...(revision !== null && { revision }),
      additionalFields: ['sha', 'cardData'],
    });
    const commit = commitSchema.parse(info.sha);
    const licence = z.object({ license: z.union([z.string(), z.array(z.string())]) }).safeParse(info.cardData)
      .data?.license;
    const files: HubFile[] = [];
    for await (const entry of listFiles({ ...access, repo: repository, revision: commit, recursive: true })) {
      if (entry.type !== 'file') continue;
      const file = fileSchema.safeParse(entry);
      // A name that no signature can carry is no file of a model.
      if (!file.success) continue;
      const { path, size, oid, lfs } = file.data;
      files.push({
        path,
        size: lfs?.size ?? size,
        digest: lfs === undefined ? { kind: 'git', hex: oid } : { kind: 'sha256', hex: lfs.oid },
      });
      if (files.length > MAX_FILES)
        throw new ChorusError('too-large', `${repository} has more than ${MAX_FILES} files`);
    }
    return { commit, licence: [licence ?? []].flat().join(', ').slice(0, 200), isGated: info.gated !== false, files };
  } catch (thrown) {
    if (thrown instanceof ChorusError) throw thrown;
    throw new ChorusError(
      'bad-message',
      `the hub at ${endpoint} answers in a form that is not known`,
      {},
      String(thrown),
    );
  }
}
