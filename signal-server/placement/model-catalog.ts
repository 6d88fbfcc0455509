import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { utf8 } from '#shared/bytes.ts';
import { openEnvelope, signEnvelope } from '#shared/crypto/dsse.ts';
import { envelopeSchema, type Envelope } from '#shared/crypto/envelope.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { parseForm } from '#shared/form-words.ts';
import type { Digest } from '#shared/ids.ts';
import { MAX_MANIFEST_BYTES } from '#shared/limits.ts';
import { readAnatomy } from '#shared/model/anatomy.ts';
import { manifestSchema, type Manifest, MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { decodeModel } from '#shared/model/onnx-file.ts';
import { whyNotPlanned } from '#shared/model/engine/why-not-planned.ts';
import type { DataFolder } from '../machine/data-folder.ts';
import { planModel, type PlannedModel } from './planned-model.ts';

export interface CatalogEntry {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly envelope: Envelope;
  readonly planned: PlannedModel;
}

/** The models of the data folder that are signed by this server's key. */
export class ModelCatalog {
  readonly #folder: DataFolder;
  readonly #leastStages: number;
  #entries: ReadonlyMap<Digest, CatalogEntry> = new Map();
  /** Files that could not be read, so that each is reported once. */
  readonly #refused = new Set<Digest>();

  constructor(folder: DataFolder, leastStages: number) {
    this.#folder = folder;
    this.#leastStages = leastStages;
  }

  /** The oldest first; that one is the default. */
  get entries(): readonly CatalogEntry[] {
    return [...this.#entries.values()];
  }

  get planned(): readonly PlannedModel[] {
    return this.entries.map((entry) => entry.planned);
  }

  get(digest: Digest): CatalogEntry | undefined {
    return this.#entries.get(digest);
  }

  /** Looks for new and removed models; answers what is new and what had to be left out, and why. */
  async rescan(): Promise<{ added: CatalogEntry[]; refused: { digest: Digest; error: ChorusError }[] }> {
    const digests = await this.#folder.listModels();
    const added: CatalogEntry[] = [];
    const refused: { digest: Digest; error: ChorusError }[] = [];
    for (const digest of digests) {
      if (this.#entries.has(digest) || this.#refused.has(digest)) continue;
      try {
        added.push(await this.#read(digest));
      } catch (error) {
        this.#refused.add(digest);
        refused.push({ digest, error: toChorusError(error, 'bad-manifest') });
      }
    }
    const known = new Map([...this.#entries, ...added.map((entry) => [entry.digest, entry] as const)]);
    this.#entries = new Map(
      digests.flatMap((digest) => (known.has(digest) ? [[digest, known.get(digest)!] as const] : [])),
    );
    return { added, refused };
  }

  async #read(digest: Digest): Promise<CatalogEntry> {
    const envelope = parseForm(
      envelopeSchema,
      JSON.parse(await this.#folder.readModel(digest)),
      'the envelope of the manifest',
      'bad-manifest',
    );
    const bytes = await openEnvelope(
      envelope,
      MANIFEST_PAYLOAD_TYPE,
      this.#folder.serverIdentity.publicKey,
      verifySignature,
    );
    if (digestOf(bytes) !== digest)
      throw new ChorusError('digest-mismatch', 'the manifest is not the one its name says');
    if (bytes.length > MAX_MANIFEST_BYTES) throw new ChorusError('too-large', 'the manifest is too large');
    const manifest = parseForm(
      manifestSchema,
      JSON.parse(new TextDecoder().decode(bytes)),
      'the manifest',
      'bad-manifest',
    );
    const isPlanned = await this.#isPlanned(manifest);
    return { digest, manifest, envelope, planned: planModel(digest, manifest, this.#leastStages, isPlanned) };
  }

  /** True if the CPU engine knows the graph; of one that cannot be read the larger need is taken. */
  async #isPlanned({ graph, config }: Manifest): Promise<boolean> {
    try {
      const bytes = await readFile(join(this.#folder.blobsPath, graph.digest));
      return whyNotPlanned(readAnatomy(decodeModel(bytes)), config.vocabularySize) === null;
    } catch {
      return false;
    }
  }
}

/** Signs a manifest with the server's key and stores it where a running server finds it. Answers its digest. */
export async function storeManifest(folder: DataFolder, manifest: Manifest): Promise<Digest> {
  const bytes = utf8(JSON.stringify(manifest));
  const digest = digestOf(bytes);
  await folder.writeModel(digest, await signEnvelope(folder.serverIdentity, MANIFEST_PAYLOAD_TYPE, bytes));
  return digest;
}
