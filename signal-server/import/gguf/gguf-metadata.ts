import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';
import { describeFault, formWords } from '#shared/form-words.ts';
import { MAX_LAYERS, MAX_POSITIONS } from '#shared/limits.ts';

const MAX_TOKENS = 1_048_576;
/** Numbers of 64 bits come as bigints. */
const whole = z.preprocess((value) => (typeof value === 'bigint' ? Number(value) : value), z.int().min(0));
const size = z.preprocess(
  (value) => (typeof value === 'bigint' ? Number(value) : value),
  z.int().min(1).max(MAX_TOKENS),
);
const text = z.string().max(1_000_000);
const name = z.string().max(200);
const strings = z.array(z.string()).max(MAX_TOKENS);

/** The keys of an architecture that count here, without its name before them. */
const shapeSchema = z.object({
  block_count: size.pipe(z.int().max(MAX_LAYERS)),
  context_length: size.pipe(z.int().max(MAX_POSITIONS * 16)),
  embedding_length: size.pipe(z.int().max(65_536)),
  feed_forward_length: size,
  'attention.head_count': size.pipe(z.int().max(1024)),
  'attention.head_count_kv': size.pipe(z.int().max(1024)).optional(),
  'attention.layer_norm_rms_epsilon': z.number().positive().max(1),
  'attention.key_length': size.pipe(z.int().max(1024)).optional(),
  'attention.value_length': size.optional(),
  'attention.sliding_window': whole.optional(),
  'rope.freq_base': z.number().min(1).max(1e12).optional(),
  'rope.dimension_count': size.optional(),
  'rope.scaling.type': name.optional(),
  'rope.scaling.factor': z.number().optional(),
  'rope.scale_linear': z.number().optional(),
  expert_count: whole.optional(),
});
export type GgufShape = z.infer<typeof shapeSchema>;

const generalSchema = z.object({
  'general.architecture': name,
  'general.name': name.optional(),
  'general.description': text.optional(),
  'general.license': z
    .union([
      name,
      z
        .array(name)
        .max(32)
        .transform((all) => all.join(', ')),
    ])
    .optional(),
  'general.source.url': name.optional(),
  'general.repo_url': name.optional(),
  'split.count': whole.optional(),
});
export type GgufGeneral = z.infer<typeof generalSchema>;

const tokenizerSchema = z.object({
  'tokenizer.ggml.model': name,
  'tokenizer.ggml.pre': name.optional(),
  'tokenizer.ggml.tokens': strings.min(1),
  'tokenizer.ggml.token_type': z.array(z.int().min(0).max(255)).max(MAX_TOKENS).optional(),
  'tokenizer.ggml.scores': z.array(z.number()).max(MAX_TOKENS).optional(),
  'tokenizer.ggml.merges': strings.optional(),
  'tokenizer.ggml.bos_token_id': whole.optional(),
  'tokenizer.ggml.eos_token_id': whole.optional(),
  'tokenizer.ggml.eot_token_id': whole.optional(),
  'tokenizer.ggml.eom_token_id': whole.optional(),
  'tokenizer.ggml.unknown_token_id': whole.optional(),
  'tokenizer.ggml.padding_token_id': whole.optional(),
  'tokenizer.ggml.add_bos_token': z.boolean().optional(),
  'tokenizer.ggml.add_eos_token': z.boolean().optional(),
  'tokenizer.ggml.add_space_prefix': z.boolean().optional(),
  'tokenizer.ggml.remove_extra_whitespaces': z.boolean().optional(),
  'tokenizer.chat_template': text.optional(),
});
export type GgufTokenizer = z.infer<typeof tokenizerSchema>;

/** What a GGUF file says of itself, checked. Throws `bad-model` naming the key that is missing or wrong. */
export interface GgufFacts {
  readonly general: GgufGeneral;
  readonly shape: GgufShape;
  readonly tokenizer: GgufTokenizer;
}

export function parseFacts(
  metadata: ReadonlyMap<string, unknown>,
  refuseArchitecture: (name: string) => void,
): GgufFacts {
  const general = parse(generalSchema, Object.fromEntries(metadata));
  refuseArchitecture(general['general.architecture']);
  const prefix = `${general['general.architecture']}.`;
  const own = [...metadata]
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => [key.slice(prefix.length), value]);
  return {
    general,
    shape: parse(shapeSchema, Object.fromEntries(own), prefix),
    tokenizer: parse(tokenizerSchema, Object.fromEntries(metadata)),
  };
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, prefix = ''): z.infer<Schema> {
  const parsed = schema.safeParse(value, { error: formWords });
  if (parsed.success) return parsed.data;
  const [fault] = parsed.error.issues;
  throw new ChorusError('bad-model', `the GGUF file's metadata: ${prefix}${describeFault(fault!, 'the whole of it')}`);
}
