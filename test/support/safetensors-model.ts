import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DecoderShape } from '../../signal-server/import/builder/decoder-shape.ts';
import { tokenizerFiles } from '../../signal-server/import/gguf/gguf-tokenizer.ts';
import { ggufModel, type GgufModel } from './gguf-model.ts';
import { tensorOf, writeSafetensors, type FloatType, type WrittenTensor } from './write-safetensors.ts';

export type Architecture = 'llama' | 'qwen2' | 'qwen3';

/** The same small model as a GGUF file of F32 has it, as transformers would publish it. */
export interface SafetensorsModel {
  readonly gguf: GgufModel;
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: WrittenTensor[];
}

/** A model of the architecture whose tensors take the types by turns; with `isTied` its head is its table. */
export function safetensorsModel(
  architecture: Architecture,
  types: readonly FloatType[],
  isTied: boolean,
  rope: Readonly<Record<string, unknown>> = {},
  ropeFactors: number[] | null = null,
): SafetensorsModel {
  const gguf = ggufModel(architecture, isTied ? ['F32'] : ['F32', 'F32'], ropeFactors);
  const tensors = namesOf(architecture, gguf.shape, isTied).map(([name, dims], i) =>
    tensorOf(name, types[i % types.length]!, dims, gguf.weight(name)!),
  );
  return { gguf, config: { ...configOf(architecture, gguf.shape, isTied), ...rope }, tensors };
}

/** Writes a folder as `transformers` saves it, in one file or, with an index, in several. */
export async function writeSafetensorsModel(
  folder: string,
  { config, tensors, gguf }: SafetensorsModel,
  files = 1,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { tokenizer, config: tokenizerConfig } = tokenizerOf(gguf);
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'tokenizer.json'), tokenizer);
  await writeFile(join(folder, 'tokenizer_config.json'), tokenizerConfig);
  if (files === 1) return writeSafetensors(join(folder, 'model.safetensors'), tensors);
  const map: Record<string, string> = {};
  for (let i = 0; i < files; i++) {
    const name = `model-0000${i + 1}-of-0000${files}.safetensors`;
    const own = tensors.filter((_, at) => at % files === i);
    for (const tensor of own) map[tensor.name] = name;
    await writeSafetensors(join(folder, name), own);
  }
  const index = { metadata: { total_size: 1 }, weight_map: map };
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
}

function namesOf(architecture: Architecture, shape: DecoderShape, isTied: boolean): [string, number[]][] {
  const { layers, hiddenSize: hidden, feedForward, heads, kvHeads, headSize, vocabularySize } = shape;
  const all: [string, number[]][] = [['model.embed_tokens.weight', [vocabularySize, hidden]]];
  for (let i = 0; i < layers; i++) {
    const put = (part: string, ...dims: number[]) => all.push([`model.layers.${i}.${part}`, dims]);
    put('input_layernorm.weight', hidden);
    for (const part of ['q', 'k', 'v']) {
      const rows = (part === 'q' ? heads : kvHeads) * headSize;
      put(`self_attn.${part}_proj.weight`, rows, hidden);
      if (architecture === 'qwen2') put(`self_attn.${part}_proj.bias`, rows);
      if (architecture === 'qwen3' && part !== 'v') put(`self_attn.${part}_norm.weight`, headSize);
    }
    put('self_attn.o_proj.weight', hidden, heads * headSize);
    put('post_attention_layernorm.weight', hidden);
    put('mlp.gate_proj.weight', feedForward, hidden);
    put('mlp.up_proj.weight', feedForward, hidden);
    put('mlp.down_proj.weight', hidden, feedForward);
  }
  all.push(['model.norm.weight', [hidden]]);
  if (!isTied) all.push(['lm_head.weight', [vocabularySize, hidden]]);
  return all;
}

function configOf(architecture: Architecture, shape: DecoderShape, isTied: boolean): Record<string, unknown> {
  const name = { llama: 'LlamaForCausalLM', qwen2: 'Qwen2ForCausalLM', qwen3: 'Qwen3ForCausalLM' }[architecture];
  return {
    architectures: [name],
    model_type: architecture,
    num_hidden_layers: shape.layers,
    hidden_size: shape.hiddenSize,
    intermediate_size: shape.feedForward,
    vocab_size: shape.vocabularySize,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headSize,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    rope_theta: shape.ropeBase,
    hidden_act: 'silu',
    tie_word_embeddings: isTied,
    eos_token_id: 2,
    torch_dtype: 'float32',
  };
}

function tokenizerOf({ metadata }: GgufModel) {
  const plain = Object.entries(metadata).map(([key, value]) => {
    return [key, typeof value === 'object' ? Object.values(value)[0] : value] as const;
  });
  return tokenizerFiles(Object.fromEntries(plain) as unknown as Parameters<typeof tokenizerFiles>[0]);
}
