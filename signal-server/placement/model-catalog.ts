import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { utf8 } from '#shared/bytes.ts';
import { openEnvelope, signEnvelope } from '#shared/crypto/dsse.ts';
import { envelopeSchema, type Envelope } from '#shared/crypto/envelope.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { parseStrictJson } from '#shared/crypto/strict-json.ts';
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
import { fileFaultOf } from '../machine/file-fault.ts';
import { planModel, type PlannedModel } from './planned-model.ts';

export interface CatalogEntry {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly envelope: Envelope;
  readonly planned: PlannedModel;
  /** True if every blob that a volunteer or requester fetches was there when it was looked for last. */
  readonly isWhole: boolean;
}

/** What a look at the data folder came to. */
export interface Rescan {
  readonly added: readonly CatalogEntry[];
  /** What had to be left out, and why. */
  readonly refused: readonly { readonly digest: Digest; readonly error: ChorusError }[];
  /** Models whose blobs have gone or come since they were looked for last. */
  readonly changed: readonly CatalogEntry[];
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

  /** Looks for new and removed models, and for blobs that have gone or come. */
  async rescan(): Promise<Rescan> {
    const digests = await this.#folder.listModels();
    const found = new Map<Digest, CatalogEntry>();
    const rescan = {
      added: [] as CatalogEntry[],
      refused: [] as Rescan['refused'][number][],
      changed: [] as CatalogEntry[],
    };
    for (const digest of digests) {
      if (this.#refused.has(digest)) continue;
      const known = this.#entries.get(digest);
      try {
        const entry = known === undefined ? await this.#read(digest) : await this.#lookAgain(known);
        found.set(digest, entry);
        if (known === undefined) rescan.added.push(entry);
        else if (entry !== known) rescan.changed.push(entry);
      } catch (error) {
        if (known !== undefined) found.set(digest, known);
        // A file that cannot be read for a moment is looked for again.
        if (fileFaultOf(error) !== null) continue;
        this.#refused.add(digest);
        rescan.refused.push({ digest, error: toChorusError(error, 'bad-manifest') });
      }
    }
    this.#entries = found;
    return rescan;
  }

  /** The same entry, unless its blobs have gone or come: a graph that came says what the model needs. */
  async #lookAgain(known: CatalogEntry): Promise<CatalogEntry> {
    const isWhole = await this.#isWhole(known.manifest);
    if (isWhole === known.isWhole) return known;
    return isWhole ? this.#read(known.digest) : { ...known, isWhole };
  }

  async #isWhole({ graph, parts, probe, tokenizer }: Manifest): Promise<boolean> {
    const blobs = [graph, ...parts.map(({ blob }) => blob), ...probe.boundaries, probe.logits];
    const files = [...blobs, tokenizer.tokenizer, tokenizer.config].filter(({ bytes }) => bytes > 0);
    const sizes = await Promise.all(files.map((blob) => this.#folder.blobBytes(blob.digest)));
    return files.every(({ bytes }, i) => sizes[i] === bytes);
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
    const manifest = parseForm(manifestSchema, parseStrictJson(bytes), 'the manifest', 'bad-manifest');
    const [isPlanned, isWhole] = [await this.#isPlanned(manifest), await this.#isWhole(manifest)];
    return { digest, manifest, envelope, planned: planModel(digest, manifest, this.#leastStages, isPlanned), isWhole };
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
