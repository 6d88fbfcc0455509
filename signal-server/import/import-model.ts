import { join } from 'node:path';
import { utf8 } from '#shared/bytes.ts';
import { digestOf, type Identity } from '#shared/crypto/identity.ts';
import { ChorusError } from '#shared/errors.ts';
import { firstFault, formWords } from '#shared/form-words.ts';
import type { Digest } from '#shared/ids.ts';
import { MAX_MANIFEST_BYTES } from '#shared/limits.ts';
import { readAnatomy, type Anatomy } from '#shared/model/anatomy.ts';
import { manifestSchema, roundingOf, type Manifest } from '#shared/model/manifest.ts';
import { encodeModel } from '#shared/model/onnx-file.ts';
import { whyNotPlanned } from '#shared/model/engine/why-not-planned.ts';
import { openModelText } from '#shared/text/model-text.ts';
import { addProbe } from './add-probe.ts';
import { BlobWriter } from './blob-writer.ts';
import { countParameters } from './count-parameters.ts';
import { readCard } from './model-card.ts';
import type { ModelFolder } from './model-folder.ts';
import { normalizeGraph } from './normalize-graph.ts';
import { describePlace, openModel } from './open-model.ts';
import type { Reference } from './probe/reference-thread.ts';
import { demandQuickText } from './quick-text.ts';
import { countOperators, type ImportReport } from './report.ts';
import { writeParts } from './write-parts.ts';

export { formatReport, type ImportReport } from './report.ts';

/** Honest devices differ by 1e-6 with f32 and by some 1e-3 with f16 activations; a wrong one by 1e-1. */
const PROBE_TOLERANCE = { float32: 1e-3, float16: 3e-2 };
/** KV for more would fit few tabs. */
export const DEFAULT_MAX_POSITIONS = 4096;

export interface ImportOptions {
  /** Which of the files; without it the smallest with f32 arithmetic. `fp32` converts if there is no such graph. */
  readonly quant?: string | undefined;
  /** The model's name, whatever its files are called. */
  readonly name?: string | undefined;
  /** Blobs go to its folder `blobs`. */
  readonly dataFolder: string;
  readonly onProgress: (progress: ImportProgress) => void;
  readonly maxPositions?: number | undefined;
  /** Signs the folder where it has no signature; without it such a folder stays unsigned. */
  readonly signer?: Identity | undefined;
  /** The public key, as PEM, that the folder's signature must be by. */
  readonly publisherKey?: string | undefined;
  /** Where the folder comes from, whatever its card says. */
  readonly origin?: string | undefined;
  /** Computes the probe's values of one model after the other; each import has its own if left out. */
  readonly reference?: Reference | undefined;
}

export interface ImportProgress {
  readonly label: string;
  readonly done: number;
  readonly total: number;
}

export interface ImportedModel {
  readonly manifest: Manifest;
  /** SHA-256 of the manifest's JSON. */
  readonly digest: Digest;
  readonly report: ImportReport;
}

/**
 * Imports a Hugging Face style folder, of ONNX graphs or safetensors, or a GGUF file: writes the weightless graph, one blob for each part of the model, the
 * tokenizer and the probe's values, and gives the manifest that names them. Everything in it may be hostile.
 * Throws `bad-model` or `unsupported-model`, naming file or node and why; for a `model.sig` that is wrong also
 * `bad-message`, `unsupported`, `digest-mismatch` and `bad-signature`.
 */
export async function importModel(path: string, options: ImportOptions): Promise<ImportedModel> {
  const { dataFolder, onProgress, maxPositions = DEFAULT_MAX_POSITIONS } = options;
  const warnings: string[] = [];
  const onReading = (name: string) => onProgress({ label: `reading ${name}`, done: 0, total: 1 });
  const opened = await openModel(path, { quant: options.quant, maxPositions, onReading }, warnings);
  const { folder, file, onlyOn } = opened;
  try {
    const positions = Math.min(folder.config.max_position_embeddings, maxPositions);
    const normalized = normalizeGraph(file.model, file.read, positions, warnings);
    const anatomy = readAnatomy(normalized.model);
    checkConfig(folder, anatomy);
    if (normalized.maxPositions < folder.config.max_position_embeddings) {
      warnings.push(`positions are limited to ${normalized.maxPositions} of ${folder.config.max_position_embeddings}`);
    }

    const writer = new BlobWriter(join(dataFolder, 'blobs'));
    const weights = { read: normalized.read, relativeError: file.relativeError };
    const parts = await writeParts(anatomy, weights, writer, (done, total, name) =>
      onProgress({ label: `writing ${name}`, done, total }),
    );
    const graph = await writer.write(encodeModel(normalized.model));
    const card = readCard(folder.card);
    if (card.licence === '') warnings.push('the model card names no licence');
    warnings.push(...textWarnings(folder));
    const source = await opened.source.seal(
      [...folder.textFiles, ...file.paths],
      { signer: options.signer ?? null, publisherKey: options.publisherKey, origin: options.origin ?? card.origin },
      (done, total) => onProgress({ label: 'hashing the folder', done, total }),
    );
    if (source.signature !== null && source.signature.publicKey === null)
      warnings.push('model.sig lists these files, but who signed it was not checked: there is no key to check it with');
    const drafted: Manifest = {
      format: 'chorus-manifest/3',
      name: options.name ?? folder.name,
      description: card.description,
      licence: card.licence || 'unknown',
      parameters: countParameters(anatomy, folder.config),
      config: {
        architecture: folder.config.architectures?.[0] ?? folder.config.model_type,
        layers: anatomy.layers.length,
        hiddenSize: anatomy.hiddenSize,
        vocabularySize: folder.config.vocab_size,
        heads: anatomy.heads,
        kvHeads: anatomy.kvHeads,
        headSize: headSizeOf(folder),
        maxPositions: normalized.maxPositions,
        endTokens: [...folder.endTokens],
      },
      pins: {
        runtime: 'onnxruntime-web',
        runtimeVersion: '',
        quantization: opened.quantization,
        blockSize: normalized.blockSize,
        accuracyLevel: 0,
        accumulation: 'f32',
        boundary: 'f16',
        kv: anatomy.kvType,
        ...(onlyOn !== null && { onlyOn }),
      },
      minStages: 2,
      graph,
      parts,
      tokenizer: {
        tokenizer: await writer.write(folder.tokenizer),
        config: await writer.write(folder.tokenizerConfig),
      },
      card: folder.card && (await writer.write(folder.card)),
      source,
      probe: {
        tokens: [],
        boundaries: [],
        logits: graph,
        tolerance: PROBE_TOLERANCE[anatomy.activationType],
        channelScale: '',
      },
    };
    const probed = await addProbe(drafted, writer, {
      dataFolder,
      reference: options.reference,
      onProgress: (done, total) => onProgress({ label: 'computing probe values', done, total }),
    });
    const manifest = checkManifest(probed);
    onProgress({ label: 'imported', done: 1, total: 1 });
    const report: ImportReport = {
      name: manifest.name,
      source: describePlace(opened),
      root: source.root,
      parameters: manifest.parameters,
      operators: countOperators(normalized.model.graph.node),
      parts: parts.map(({ name, blob, weights }) => ({ name, bytes: blob.bytes, weights: weights.length })),
      rounding: roundingOf(parts),
      pins: manifest.pins,
      engine: whyNotPlanned(anatomy, folder.config.vocab_size),
      warnings,
    };
    return { manifest, digest: digestOf(utf8(JSON.stringify(manifest))), report };
  } finally {
    file.close();
  }
}

/** config.json and the graph must tell of the same model. */
function checkConfig({ config }: ModelFolder, anatomy: Anatomy): void {
  const pairs: [string, number, number][] = [
    ['num_hidden_layers', config.num_hidden_layers, anatomy.layers.length],
    ['hidden_size', config.hidden_size, anatomy.hiddenSize],
    ['num_attention_heads', config.num_attention_heads, anatomy.heads],
    ['num_key_value_heads', config.num_key_value_heads ?? config.num_attention_heads, anatomy.kvHeads],
  ];
  for (const [key, said, found] of pairs) {
    if (said !== found) throw new ChorusError('bad-model', `config.json says ${key} ${said}, the graph has ${found}`);
  }
}

function headSizeOf({ config }: ModelFolder): number {
  const size = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  if (!Number.isInteger(size))
    throw new ChorusError('bad-model', 'config.json: hidden_size is no multiple of num_attention_heads');
  return size;
}

function checkManifest(manifest: Manifest): Manifest {
  const checked = manifestSchema.safeParse(manifest, { error: formWords });
  if (!checked.success)
    throw new ChorusError('bad-model', `the model fits no manifest: ${firstFault(checked.error, 'the whole of it')}`);
  if (JSON.stringify(manifest).length > MAX_MANIFEST_BYTES)
    throw new ChorusError('bad-model', 'the manifest would be too large');
  return manifest;
}

/** Volunteers can run a model whose text cannot be read, but neither the page nor the API can ask it anything. */
function textWarnings({ tokenizer, tokenizerConfig }: ModelFolder): string[] {
  const fault = demandQuickText(() => openModelText(tokenizer, tokenizerConfig));
  return fault === null ? [] : [`no chat with this model: ${fault.message}`];
}
