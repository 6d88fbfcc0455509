import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';
import { describeFault, formWords } from '#shared/form-words.ts';
import { MAX_LAYERS, MAX_POSITIONS } from '#shared/limits.ts';
import type { DecoderShape } from '../builder/decoder-shape.ts';

/** Families that are read, by the name that config.json gives them. */
const FAMILIES = new Map([
  ['llama', { hasHeadNorms: false, hasInnerBias: false }],
  ['qwen2', { hasHeadNorms: false, hasInnerBias: true }],
  ['qwen3', { hasHeadNorms: true, hasInnerBias: false }],
]);

const size = z.int().min(1);
const ropeSchema = z.looseObject({
  rope_type: z.string().max(40).optional(),
  type: z.string().max(40).optional(),
  rope_theta: z.number().min(1).max(1e12).optional(),
  factor: z.number().min(1).max(1e4).optional(),
  low_freq_factor: z.number().positive().max(1e4).optional(),
  high_freq_factor: z.number().positive().max(1e4).optional(),
  original_max_position_embeddings: size.max(MAX_POSITIONS * 16).optional(),
});

const configSchema = z.looseObject({
  model_type: z.string().max(100),
  num_hidden_layers: size.max(MAX_LAYERS),
  hidden_size: size.max(65_536),
  intermediate_size: size.max(1_048_576),
  vocab_size: size.max(1_048_576),
  num_attention_heads: size.max(1024),
  num_key_value_heads: size.max(1024).nullish(),
  head_dim: size.max(1024).nullish(),
  max_position_embeddings: size.max(MAX_POSITIONS * 16),
  rms_norm_eps: z.number().positive().max(1),
  rope_theta: z.number().min(1).max(1e12).nullish(),
  rope_scaling: ropeSchema.nullish(),
  /** Newer than the two before it, in their place. */
  rope_parameters: ropeSchema.nullish(),
  partial_rotary_factor: z.number().nullish(),
  hidden_act: z.string().max(40),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  use_sliding_window: z.boolean().nullish(),
  layer_types: z.array(z.string().max(40)).max(MAX_LAYERS).nullish(),
  quantization_config: z.unknown().optional(),
  dual_chunk_attention_config: z.unknown().optional(),
});
type DecoderConfig = z.infer<typeof configSchema>;

/** What config.json says of a decoder that the builder knows. */
export interface DecoderFacts {
  readonly shape: DecoderShape;
  readonly isTied: boolean;
  /** True for a bias that the model has, by its name. */
  readonly hasBias: (name: string) => boolean;
}

/** Throws `unsupported-model` for what such a model may say and is not known here, by its name, `bad-model` for the rest. */
export function parseDecoderConfig(json: unknown, maxPositions: number): DecoderFacts {
  const named = z.looseObject({ model_type: z.string().max(100) }).safeParse(json, { error: formWords });
  const family = FAMILIES.get(named.data?.model_type ?? '');
  if (named.success && family === undefined)
    throw new ChorusError(
      'unsupported-model',
      `config.json: the family ${named.data.model_type} is not supported; ${[...FAMILIES.keys()].join(', ')} are`,
    );
  const parsed = configSchema.safeParse(json, { error: formWords });
  if (!parsed.success || family === undefined) {
    const issues = parsed.error?.issues.slice(0, 4) ?? [];
    throw new ChorusError(
      'bad-model',
      `config.json: ${issues.map((issue) => describeFault(issue, 'the whole of it')).join('; ')}`,
    );
  }
  const config = parsed.data;
  refuseUnknown(config);
  const heads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? heads;
  const headSize = config.head_dim ?? config.hidden_size / heads;
  if (!Number.isInteger(headSize) || headSize % 2 !== 0 || heads % kvHeads !== 0)
    throw new ChorusError(
      'unsupported-model',
      `config.json: ${heads} heads of ${headSize} over ${kvHeads} are not known here`,
    );
  const rope = config.rope_parameters ?? config.rope_scaling ?? {};
  const ropeBase = rope.rope_theta ?? config.rope_theta ?? 10_000;
  const isBiased = config.attention_bias === true;
  const biased = [
    ...(family.hasInnerBias || isBiased ? ['q_proj', 'k_proj', 'v_proj'] : []),
    ...(isBiased && !family.hasInnerBias ? ['o_proj'] : []),
    ...(config.mlp_bias === true ? ['gate_proj', 'up_proj', 'down_proj'] : []),
  ];
  return {
    shape: {
      layers: config.num_hidden_layers,
      hiddenSize: config.hidden_size,
      feedForward: config.intermediate_size,
      ...{ heads, kvHeads, headSize, ropeBase },
      hasHeadNorms: family.hasHeadNorms,
      vocabularySize: config.vocab_size,
      epsilon: config.rms_norm_eps,
      ropeFactors: ropeFactors(rope, ropeBase, headSize),
      positions: Math.min(config.max_position_embeddings, maxPositions),
    },
    isTied: config.tie_word_embeddings === true,
    hasBias: (name) => biased.some((part) => name.endsWith(`.${part}.bias`)),
  };
}

function refuseUnknown(config: DecoderConfig): void {
  const isPart = (config.partial_rotary_factor ?? 1) !== 1;
  const faults: [boolean, string][] = [
    [config.hidden_act !== 'silu', `hidden_act ${config.hidden_act}; silu is`],
    [isPart, 'partial_rotary_factor: heads that are turned in part; whole ones are'],
    [config.use_sliding_window === true, 'use_sliding_window: attention to some positions only; to all of them is'],
    [
      config.layer_types?.some((type) => type !== 'full_attention') === true,
      'layer_types with other attention; full_attention is',
    ],
    [
      config.quantization_config !== undefined && config.quantization_config !== null,
      'quantization_config: weights that are quantized already; F32, F16 and BF16 are, and GGUF files',
    ],
    [(config.dual_chunk_attention_config ?? null) !== null, 'dual_chunk_attention_config; plain attention is'],
  ];
  const [, fault] = faults.find(([isThere]) => isThere) ?? [];
  if (fault !== undefined) throw new ChorusError('unsupported-model', `config.json: this is not known here: ${fault}`);
}

/** Llama 3's longer positions: by how much each angle turns slower, each f32 as in a GGUF file. Throws `unsupported-model` for other ways. */
function ropeFactors(rope: z.infer<typeof ropeSchema>, base: number, headSize: number): number[] | null {
  const type = rope.rope_type ?? rope.type ?? 'default';
  if (type === 'default') return null;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: positions } = rope;
  const isWhole =
    factor !== undefined && low !== undefined && high !== undefined && positions !== undefined && high > low;
  if (type !== 'llama3' || !isWhole)
    throw new ChorusError(
      'unsupported-model',
      `config.json: the model stretches its positions (${type}), which is not known here`,
    );
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const turns = positions / (2 * Math.PI * base ** ((2 * i) / headSize));
    if (turns > high) return 1;
    if (turns < low) return Math.fround(factor);
    const smooth = (turns - low) / (high - low);
    return Math.fround(1 / ((1 - smooth) / factor + smooth));
  });
}
