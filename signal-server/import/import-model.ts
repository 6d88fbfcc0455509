import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TensorProto } from 'onnx-buf';
import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { MAX_MANIFEST_BYTES } from '#shared/limits.ts';
import { readAnatomy, type Anatomy } from '#shared/model/anatomy.ts';
import { stageParts } from '#shared/model/cut.ts';
import { externalTensor, foldModel } from '#shared/model/fold.ts';
import { manifestSchema, type BlobRef, type Manifest, type Part } from '#shared/model/manifest.ts';
import { encodeModel, type OnnxModel } from '#shared/model/onnx-file.ts';
import { quantizedWeight, weightFinder, weightKey } from '#shared/model/quantized-weights.ts';
import { externalData, tensorDims, tensorType } from '#shared/model/tensor-bytes.ts';
import { BlobWriter } from './blob-writer.ts';
import { chooseGraph, openGraphFile, type Quantization } from './graph-file.ts';
import { readCard } from './model-card.ts';
import { readModelFolder, type ModelFolder } from './model-folder.ts';
import { normalizeGraph } from './normalize-graph.ts';
import { probeStages, probeTokens, startReference } from './probe-values.ts';
import { countOperators, type ImportReport } from './report.ts';
import { planParts } from './split-parts.ts';

export { formatReport, type ImportReport } from './report.ts';

/** The worker probes runs of up to 39 positions; rows are the same however they are chunked. */
const PROBE_POSITIONS = 40;
/** Honest devices differ by 1e-6 with f32 and by some 1e-3 with f16 activations; a wrong one by 1e-1. */
const PROBE_TOLERANCE = { float32: 1e-3, float16: 3e-2 };
/** KV for more would fit few tabs. */
const DEFAULT_MAX_POSITIONS = 4096;

export interface ImportOptions {
  /** Which of the folder's files; without it the smallest with f32 arithmetic. `fp32` converts if there is no such file. */
  readonly quant?: Quantization | undefined;
  /** Blobs go to its folder `blobs`. */
  readonly dataFolder: string;
  readonly onProgress: (progress: ImportProgress) => void;
  readonly maxPositions?: number | undefined;
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
 * Imports a Hugging Face style folder: writes the weightless graph, one blob for each part of the model, the
 * tokenizer and the probe's values, and gives the manifest that names them. Everything in the folder may be hostile.
 * Throws `bad-model` or `unsupported-model`, naming file or node and why.
 */
export async function importModel(path: string, options: ImportOptions): Promise<ImportedModel> {
  const { dataFolder, onProgress, maxPositions = DEFAULT_MAX_POSITIONS } = options;
  const warnings: string[] = [];
  const folder = await readModelFolder(path);
  const chosen = chooseGraph(folder, options.quant);
  onProgress({ label: `reading ${chosen.path}`, done: 0, total: 1 });
  const file = await openGraphFile(folder, chosen.path);
  try {
    let read = file.read;
    if (chosen.from !== null) {
      warnings.push(`there is no fp32 file: the weights of ${chosen.path} (${chosen.from}) were converted, exactly`);
      read = convertToFloat(file.model, file.read);
    }
    const positions = Math.min(folder.config.max_position_embeddings, maxPositions);
    const normalized = normalizeGraph(file.model, read, positions, warnings);
    const anatomy = readAnatomy(normalized.model);
    checkConfig(folder, anatomy);
    if (normalized.maxPositions < folder.config.max_position_embeddings) {
      warnings.push(`positions are limited to ${normalized.maxPositions} of ${folder.config.max_position_embeddings}`);
    }

    const writer = new BlobWriter(join(dataFolder, 'blobs'));
    const parts = await writeParts(anatomy, normalized.read, writer, onProgress);
    const graph = await writer.write(encodeModel(normalized.model));
    const card = readCard(folder.card);
    if (card.licence === '') warnings.push('the model card names no licence');
    const drafted: Manifest = {
      format: 'chorus-manifest/1',
      name: folder.name,
      description: card.description,
      licence: card.licence || 'unknown',
      parameters: countParameters(anatomy, folder),
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
        quantization: chosen.quantization,
        blockSize: normalized.blockSize,
        accuracyLevel: 0,
        accumulation: 'f32',
        boundary: 'f16',
        kv: anatomy.kvType,
      },
      minStages: 2,
      graph,
      parts,
      tokenizer: {
        tokenizer: await writer.write(folder.tokenizer),
        config: await writer.write(folder.tokenizerConfig),
      },
      card: folder.card && (await writer.write(folder.card)),
      probe: { tokens: [], boundaries: [], logits: graph, tolerance: PROBE_TOLERANCE[anatomy.activationType] },
    };
    const manifest = checkManifest(await addProbe(drafted, dataFolder, writer, onProgress));
    const report: ImportReport = {
      name: manifest.name,
      source: join(folder.path, chosen.path),
      parameters: manifest.parameters,
      operators: countOperators(normalized.model.graph.node),
      parts: parts.map(({ name, blob, weights }) => ({ name, bytes: blob.bytes, weights: weights.length })),
      pins: manifest.pins,
      warnings,
    };
    return { manifest, digest: digestOf(utf8(JSON.stringify(manifest))), report };
  } finally {
    file.close();
  }
}

type Read = (tensor: TensorProto) => Uint8Array;

/** Rewrites the model to plain fp32 operators that every backend has; answers how to read its weights now. */
function convertToFloat(model: OnnxModel, read: Read): Read {
  readAnatomy(model);
  const files = new Map(foldModel(model, read, 'plain', 'converted/').map((file) => [file.path, file.data]));
  return (tensor) => files.get(externalData(tensor)?.location ?? '') ?? read(tensor);
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

/** Writes one blob a part and makes every weight of `anatomy`'s graph point into it. */
async function writeParts(
  anatomy: Anatomy,
  read: Read,
  writer: BlobWriter,
  onProgress: ImportOptions['onProgress'],
): Promise<Part[]> {
  const { parts: planned, inline } = planParts(anatomy);
  const written: Part[] = [];
  const external: TensorProto[] = [];
  for (const [done, { name, weights, uses }] of planned.entries()) {
    onProgress({ label: `writing ${name}`, done, total: planned.length });
    const data = weights.map(read);
    const offsets: number[] = [];
    let length = 0;
    for (const bytes of data) {
      offsets.push(length);
      length += Math.ceil(bytes.length / WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT;
    }
    const bytes = new Uint8Array(length);
    for (const [i, weight] of data.entries()) bytes.set(weight, offsets[i]);
    const blob = await writer.write(bytes);
    for (const [i, tensor] of weights.entries()) {
      external.push(
        externalTensor(tensor.name, tensor.dataType, tensorDims(tensor), blob.digest, offsets[i]!, data[i]!.length),
      );
    }
    const listed = weights.map((tensor, i) => {
      return {
        name: tensor.name,
        type: tensorType(tensor),
        dims: tensorDims(tensor),
        offset: offsets[i]!,
        bytes: data[i]!.length,
      };
    });
    written.push({ name, blob, weights: listed, uses });
  }
  anatomy.index.model.graph.initializer = [...inline, ...external];
  return written;
}

/** Numbers that were learned: caches, scales and zero points are none, and a tied table counts once. */
function countParameters(anatomy: Anatomy, { config }: ModelFolder): number {
  const { graph } = anatomy.index.model;
  const find = weightFinder(graph);
  const counted = new Map<string, number>();
  const derived = new Set<string>();
  for (const node of graph.node) {
    if (node.opType === 'MatMulNBits' || node.opType === 'GatherBlockQuantized') {
      const weight = quantizedWeight(node, find);
      counted.set(weightKey(weight), weight.rows * weight.columns);
      for (const tensor of [weight.quants, weight.scales, weight.zeroPoints]) if (tensor) derived.add(tensor.name);
    }
    if (node.opType === 'RotaryEmbedding') for (const name of node.input.slice(2)) derived.add(name);
    if (node.opType === 'GroupQueryAttention') for (const name of node.input.slice(7)) derived.add(name);
  }
  const table = config.vocab_size * config.hidden_size;
  let tables = 0;
  for (const tensor of graph.initializer) {
    const isFloat = ['float32', 'float16'].includes(tensorType(tensor));
    if (isFloat && !derived.has(tensor.name))
      counted.set(
        tensor.name,
        tensorDims(tensor).reduce((all, dim) => all * dim, 1),
      );
  }
  for (const count of counted.values()) if (count === table) tables++;
  const twice = config.tie_word_embeddings === true && tables === 2 ? table : 0;
  return [...counted.values()].reduce((sum, count) => sum + count, 0) - twice;
}

/** Computes the probe's values, stage by stage, on the WASM backend. */
async function addProbe(
  draft: Manifest,
  dataFolder: string,
  writer: BlobWriter,
  onProgress: ImportOptions['onProgress'],
): Promise<Manifest> {
  const { layers, vocabularySize, maxPositions, endTokens } = draft.config;
  const tokens = probeTokens(Math.min(PROBE_POSITIONS, maxPositions), vocabularySize, endTokens);
  const readBlob = async (blob: BlobRef) => new Uint8Array(await readFile(join(dataFolder, 'blobs', blob.digest)));
  const reference = startReference();
  try {
    const graph = await readBlob(draft.graph);
    const outputs: BlobRef[] = [];
    const stages = probeStages(layers);
    let input: Uint32Array | Float32Array = Uint32Array.from(tokens);
    let runtimeVersion = '';
    for (const [done, range] of stages.entries()) {
      onProgress({ label: 'computing probe values', done, total: stages.length });
      const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const { blob } of stageParts(draft, range)) blobs.set(blob.digest, await readBlob(blob));
      const reply = await reference.compute({ manifest: draft, range, graph, blobs, input, positions: tokens.length });
      if (!reply.values.every(Number.isFinite))
        throw new ChorusError('bad-model', 'the model computes values that are no numbers');
      outputs.push(await writer.write(new Uint8Array(reply.values.buffer)));
      ({ runtimeVersion } = reply);
      input = reply.values;
    }
    onProgress({ label: 'done', done: stages.length, total: stages.length });
    const logits = outputs.pop()!;
    return {
      ...draft,
      pins: { ...draft.pins, runtimeVersion },
      probe: { ...draft.probe, tokens, boundaries: outputs, logits },
    };
  } finally {
    await reference.stop();
  }
}

function checkManifest(manifest: Manifest): Manifest {
  const checked = manifestSchema.safeParse(manifest);
  if (!checked.success)
    throw new ChorusError('bad-model', `the model fits no manifest: ${checked.error.issues[0]?.message}`);
  if (JSON.stringify(manifest).length > MAX_MANIFEST_BYTES)
    throw new ChorusError('bad-model', 'the manifest would be too large');
  return manifest;
}

const WEIGHT_ALIGNMENT = 64;
