import { basename } from 'node:path';
import { ChorusError } from '#shared/errors.ts';
import { decodeF16 } from '#shared/model/f16.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import { buildDecoder } from './builder/decoder-graph.ts';
import type { DecoderShape } from './builder/decoder-shape.ts';
import type { GraphFile } from './graph-file.ts';
import { modelNameOf, resolveInside, type ModelFolder } from './model-folder.ts';
import { makeCard } from './model-card.ts';
import { openGguf, type GgufFile } from './gguf/gguf-file.ts';
import { parseFacts, type GgufFacts } from './gguf/gguf-metadata.ts';
import { tokenizerFiles } from './gguf/gguf-tokenizer.ts';
import { fitsEveryBackend, GgufWeights } from './gguf/gguf-weights.ts';

/** Architectures that are read, with the name that transformers gives them. */
const ARCHITECTURES = new Map([
  ['llama', { name: 'LlamaForCausalLM', isTurned: true, hasHeadNorms: false }],
  ['qwen2', { name: 'Qwen2ForCausalLM', isTurned: false, hasHeadNorms: false }],
  ['qwen3', { name: 'Qwen3ForCausalLM', isTurned: false, hasHeadNorms: true }],
]);
const ROPE_FACTORS = 'rope_freqs.weight';

/** A model whose graph was written for its weights. */
export interface OpenedWeights {
  readonly folder: ModelFolder;
  readonly file: GraphFile;
  readonly quantization: Manifest['pins']['quantization'];
  readonly onlyOn: 'wasm' | null;
}

/**
 * Opens a GGUF file `name` of a folder, a path without links, as a model; `card` is that of its repository, if it has one.
 * Throws `bad-model`, or `unsupported-model` naming the architecture, type or tokenizer that is not read.
 */
export async function openGgufModel(
  path: string,
  name: string,
  maxPositions: number,
  card: Uint8Array<ArrayBuffer> | null,
): Promise<OpenedWeights> {
  const gguf = await openGguf(await resolveInside(path, name));
  try {
    const facts = parseFacts(gguf.metadata, refuseArchitecture);
    if ((facts.general['split.count'] ?? 1) > 1)
      throw new ChorusError(
        'unsupported-model',
        `${name} is one of several files of a model; join them with llama-gguf-split --merge`,
      );
    const architecture = ARCHITECTURES.get(facts.general['general.architecture'])!;
    const shape = shapeOf(facts, gguf, architecture.hasHeadNorms, maxPositions);
    const weights = new GgufWeights(gguf, { turnBack: architecture.isTurned ? { headSize: shape.headSize } : null });
    const graph = buildDecoder(shape, weights);
    const left = weights.unused.filter((tensor) => tensor !== ROPE_FACTORS);
    if (left.length > 0)
      throw new ChorusError(
        'unsupported-model',
        `the GGUF file has the tensor ${left[0]!.slice(0, 200)}, which no model of its architecture has here`,
      );
    const { tokenizer, config, endTokens } = tokenizerFiles(facts.tokenizer);
    if (facts.tokenizer['tokenizer.ggml.tokens'].length > shape.vocabularySize)
      throw new ChorusError('bad-model', 'the GGUF file has more tokens than rows of its table');
    const quantization = mostOf(gguf);
    const onlyOn = fitsEveryBackend(gguf) ? null : 'wasm';
    const folder: ModelFolder = {
      path,
      name: modelNameOf(name),
      config: {
        architectures: [architecture.name],
        model_type: facts.general['general.architecture'],
        num_hidden_layers: shape.layers,
        hidden_size: shape.hiddenSize,
        vocab_size: shape.vocabularySize,
        num_attention_heads: shape.heads,
        num_key_value_heads: shape.kvHeads,
        head_dim: shape.headSize,
        max_position_embeddings: facts.shape.context_length,
        tie_word_embeddings: !gguf.tensors.has('output.weight'),
        eos_token_id: [...endTokens],
      },
      endTokens,
      tokenizer,
      tokenizerConfig: config,
      card: card ?? makeCard({ file: basename(name), quantization, onlyOn, general: facts.general }),
      graphs: [],
      textFiles: [],
    };
    return { folder, file: { ...graph, paths: [name], close: gguf.close }, quantization, onlyOn };
  } catch (error) {
    gguf.close();
    throw error;
  }
}

function refuseArchitecture(name: string): void {
  if (ARCHITECTURES.has(name)) return;
  const known = [...ARCHITECTURES.keys()].join(', ');
  throw new ChorusError('unsupported-model', `the architecture ${name.slice(0, 60)} is not supported; ${known} are`);
}

function shapeOf({ shape }: GgufFacts, gguf: GgufFile, hasHeadNorms: boolean, maxPositions: number): DecoderShape {
  const heads = shape['attention.head_count'];
  const kvHeads = shape['attention.head_count_kv'] ?? heads;
  const headSize = shape['attention.key_length'] ?? shape.embedding_length / heads;
  const scaling = shape['rope.scaling.type'] ?? 'none';
  const isScaled = (shape['rope.scaling.factor'] ?? shape['rope.scale_linear'] ?? 1) !== 1;
  const window = shape['attention.sliding_window'] ?? 0;
  if (scaling !== 'none' || isScaled)
    throw new ChorusError(
      'unsupported-model',
      `the model stretches its positions (${scaling}), which is not known here`,
    );
  if ((shape.expert_count ?? 0) > 0)
    throw new ChorusError('unsupported-model', 'a mixture of experts is not supported');
  if (window > 0 && window < Math.min(shape.context_length, maxPositions))
    throw new ChorusError(
      'unsupported-model',
      `the model attends to ${window} positions only, which is not known here`,
    );
  const isWhole = Number.isInteger(headSize) && headSize % 2 === 0 && heads % kvHeads === 0;
  const isPlain =
    (shape['attention.value_length'] ?? headSize) === headSize &&
    (shape['rope.dimension_count'] ?? headSize) === headSize;
  if (!isWhole || !isPlain)
    throw new ChorusError(
      'unsupported-model',
      `${heads} heads of ${headSize} over ${kvHeads}, not all of it turned: not known here`,
    );
  const table = gguf.tensors.get('token_embd.weight');
  return {
    layers: shape.block_count,
    hiddenSize: shape.embedding_length,
    feedForward: shape.feed_forward_length,
    ...{ heads, kvHeads, headSize, hasHeadNorms },
    vocabularySize: table?.dims[0] ?? 1,
    epsilon: shape['attention.layer_norm_rms_epsilon'],
    ropeBase: shape['rope.freq_base'] ?? 10_000,
    ropeFactors: ropeFactors(gguf, headSize),
    positions: Math.min(shape.context_length, maxPositions),
  };
}

/** Llama 3's longer positions: by how much each angle turns slower. */
function ropeFactors(gguf: GgufFile, headSize: number): number[] | null {
  const tensor = gguf.tensors.get(ROPE_FACTORS);
  if (tensor === undefined) return null;
  const isKnown = tensor.dims.join() === String(headSize / 2) && (tensor.type === 'F32' || tensor.type === 'F16');
  const bytes = isKnown ? gguf.read(tensor) : new Uint8Array();
  const values = tensor.type === 'F16' ? decodeF16(bytes) : new Float32Array(bytes.buffer);
  if (!isKnown || !values.every((value) => value >= 1 && value < 1e6))
    throw new ChorusError('bad-model', `the tensor ${ROPE_FACTORS} holds no factors for heads of ${headSize}`);
  return [...values];
}

/** The type that most of the file is in. */
function mostOf({ tensors }: GgufFile): Manifest['pins']['quantization'] {
  const bytes = new Map<string, number>();
  for (const tensor of tensors.values()) bytes.set(tensor.type, (bytes.get(tensor.type) ?? 0) + tensor.bytes);
  const [[most = 'F32'] = []] = [...bytes].sort((a, b) => b[1] - a[1]);
  const names: Readonly<Record<string, Manifest['pins']['quantization']>> = { F32: 'fp32', F16: 'fp16', BF16: 'bf16' };
  return names[most] ?? (most.toLowerCase() as Manifest['pins']['quantization']);
}
