import { z } from 'zod';
import { formWords } from '#shared/form-words.ts';
import { MAX_POSITIONS } from '#shared/limits.ts';
import type { ChatMessage } from '#shared/text/model-text.ts';
import { ApiError } from '../http/api-error.ts';

/** The one form of a request that both completion endpoints come down to. */
export interface AnswerRequest {
  readonly model: string;
  readonly prompt: Prompt;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly sampling: { readonly temperature: number; readonly topP: number; readonly seed: number | null };
  readonly stop: readonly string[];
  /** Null: as many as the model has room for. */
  readonly maxNewTokens: number | null;
  /** When text leaves: with its check, or at once. */
  readonly release: 'checked' | 'early';
}

export type Prompt =
  | { readonly type: 'messages'; readonly messages: readonly ChatMessage[] }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tokens'; readonly tokens: readonly number[] };

/**
 * Parameters of the OpenAI API that Chorus does not serve, with the values (besides null) that ask for nothing and are
 * let through. Any other value is refused by name.
 */
const unsupportedEverywhere = {
  frequency_penalty: [0],
  logit_bias: [{}],
  n: [1],
  presence_penalty: [0],
} satisfies Record<string, readonly unknown[]>;

const unsupportedInChat = {
  ...unsupportedEverywhere,
  audio: [],
  function_call: ['none', 'auto'],
  functions: [[]],
  logprobs: [false],
  metadata: [{}],
  modalities: [['text']],
  moderation: [],
  parallel_tool_calls: [true, false],
  prediction: [],
  prompt_cache_options: [],
  prompt_cache_retention: [],
  reasoning_effort: [],
  response_format: [{ type: 'text' }],
  service_tier: ['auto', 'default'],
  store: [false],
  tool_choice: ['none', 'auto'],
  tools: [[]],
  top_logprobs: [0],
  verbosity: [],
  web_search_options: [],
} satisfies Record<string, readonly unknown[]>;

const unsupportedInCompletions = {
  ...unsupportedEverywhere,
  best_of: [1],
  echo: [false],
  logprobs: [],
  suffix: [],
} satisfies Record<string, readonly unknown[]>;

const stopText = z.string().min(1).max(256);

const sharedFields = {
  model: z.string().min(1).max(200),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.literal(false).nullish() })
    .nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(stopText).max(4).nullish()),
  max_tokens: z.int().min(1).nullish(),
  /** Says who asks. It changes nothing in the answer and is not kept. */
  user: z.string().max(512).nullish(),
  /** Parameters that the OpenAI API does not have. */
  chorus: z.strictObject({ release: z.enum(['checked', 'early']).nullish() }).nullish(),
};

/** Fields of an earlier answer that clients send back; only absent values are let through. */
const echoedFields = {
  refusal: z.null().optional(),
  audio: z.null().optional(),
  function_call: z.null().optional(),
  tool_calls: z.array(z.never()).max(0).nullish(),
  annotations: z.array(z.never()).max(0).nullish(),
};

const textParts = z.preprocess(
  (value) => (typeof value === 'string' ? [{ type: 'text', text: value }] : value),
  z
    .array(z.strictObject({ type: z.literal('text', 'only text is supported'), text: z.string() }), {
      error: 'expected a string or a list of text parts',
    })
    .min(1)
    .max(256)
    .transform((parts) => parts.map((part) => part.text).join('')),
);

const messageSchema = z.strictObject({
  role: z.enum(
    ['system', 'developer', 'user', 'assistant'],
    'only system, developer, user and assistant are supported',
  ),
  content: textParts,
  ...echoedFields,
});

const chatSchema = z.strictObject({
  ...sharedFields,
  messages: z.array(messageSchema).min(1).max(2048),
  max_completion_tokens: z.int().min(1).nullish(),
  prompt_cache_key: z.string().max(512).nullish(),
  safety_identifier: z.string().max(512).nullish(),
});

const tokenList = z.array(z.int().min(0)).min(1).max(MAX_POSITIONS);

const completionSchema = z.strictObject({
  ...sharedFields,
  prompt: z.union(
    [
      z.string().min(1),
      z.tuple([z.string().min(1)]).transform(([text]) => text),
      tokenList,
      z.tuple([tokenList]).transform(([tokens]) => tokens),
    ],
    { error: 'expected one prompt: a non-empty string or a list of token ids' },
  ),
});

/** OpenAI's own default for /v1/completions. */
const DEFAULT_COMPLETION_TOKENS = 16;

/** Reads the body of POST /v1/chat/completions; throws ApiError naming the first parameter that is wrong or not supported. */
export function parseChatRequest(body: unknown): AnswerRequest {
  const request = parseBody(body, chatSchema, unsupportedInChat);
  const [limit, newerLimit] = [request.max_tokens ?? null, request.max_completion_tokens ?? null];
  if (limit !== null && newerLimit !== null && limit !== newerLimit) {
    throw new ApiError(400, 'invalid_value', "'max_tokens' and 'max_completion_tokens' contradict each other.", {
      param: 'max_tokens',
    });
  }
  const messages = request.messages.map(({ role, content }) => ({
    role: role === 'developer' ? ('system' as const) : role,
    content,
  }));
  return { ...readShared(request), prompt: { type: 'messages', messages }, maxNewTokens: newerLimit ?? limit };
}

/** Reads the body of POST /v1/completions; throws ApiError naming the first parameter that is wrong or not supported. */
export function parseCompletionRequest(body: unknown): AnswerRequest {
  const request = parseBody(body, completionSchema, unsupportedInCompletions);
  const prompt: Prompt =
    typeof request.prompt === 'string'
      ? { type: 'text', text: request.prompt }
      : { type: 'tokens', tokens: request.prompt };
  return { ...readShared(request), prompt, maxNewTokens: request.max_tokens ?? DEFAULT_COMPLETION_TOKENS };
}

function readShared(
  request: z.infer<z.ZodObject<typeof sharedFields>>,
): Omit<AnswerRequest, 'prompt' | 'maxNewTokens'> {
  const stream = request.stream ?? false;
  if (request.stream_options && !stream) {
    throw new ApiError(400, 'invalid_value', "'stream_options' is only allowed when 'stream' is true.", {
      param: 'stream_options',
    });
  }
  const release = request.chorus?.release ?? 'checked';
  if (release === 'early' && !stream) {
    const message = "'chorus.release' can only be 'early' when 'stream' is true.";
    throw new ApiError(400, 'invalid_value', message, { param: 'chorus.release' });
  }
  return {
    model: request.model,
    stream,
    release,
    includeUsage: request.stream_options?.include_usage ?? false,
    sampling: { temperature: request.temperature ?? 1, topP: request.top_p ?? 1, seed: request.seed ?? null },
    stop: request.stop ?? [],
  };
}

function parseBody<Schema extends z.ZodType>(
  body: unknown,
  schema: Schema,
  unsupported: Readonly<Record<string, readonly unknown[]>>,
): z.infer<Schema> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ApiError(400, 'invalid_body', 'The request body must be a JSON object (content-type application/json).');
  }
  const given: [string, unknown][] = Object.entries(body);
  for (const [name, value] of given) {
    const harmless = Object.hasOwn(unsupported, name) ? unsupported[name] : undefined;
    if (!harmless || value === null || harmless.some((allowed) => JSON.stringify(allowed) === JSON.stringify(value)))
      continue;
    throw new ApiError(400, 'unsupported_parameter', describeUnsupported(name, harmless), { param: name });
  }
  const supported = Object.fromEntries(given.filter(([name]) => !Object.hasOwn(unsupported, name)));
  const parsed = schema.safeParse(supported, { error: formWords });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw issue ? toParameterError(issue, supported) : new ApiError(400, 'invalid_value', 'The request is not valid.');
}

function describeUnsupported(name: string, harmless: readonly unknown[]): string {
  const allowed = harmless.map((value) => JSON.stringify(value)).join(' or ');
  return `Unsupported parameter: '${name}' is not served by this network${allowed && `, except as ${allowed}`}.`;
}

function toParameterError(issue: z.core.$ZodIssue, body: unknown): ApiError {
  if (issue.code === 'unrecognized_keys') {
    const param = formatPath([...issue.path, issue.keys[0] ?? '']);
    return new ApiError(400, 'unknown_parameter', `Unknown parameter: '${param}'.`, { param });
  }
  const param = formatPath(issue.path);
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], body);
  if (value === undefined && ['invalid_type', 'invalid_value', 'invalid_union'].includes(issue.code)) {
    return new ApiError(400, 'missing_required_parameter', `Missing required parameter: '${param}'.`, { param });
  }
  const code = issue.code === 'invalid_type' ? 'invalid_type' : 'invalid_value';
  return new ApiError(400, code, `Invalid value for '${param}': ${issue.message}.`, { param });
}

function formatPath(path: readonly PropertyKey[]): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('');
}
