import { z } from 'zod';
import { formWords } from '#shared/form-words.ts';
import { MAX_POSITIONS } from '#shared/limits.ts';
import type { PromptSource } from '#shared/text/prompt.ts';
import { ApiError } from '../http/api-error.ts';
import { takeSupported, toParameterError } from './parameters.ts';

const MAX_MESSAGES = 2_048;
/** Of one message. */
const MAX_PARTS = 256;

/** The one form of a request that both completion endpoints come down to. */
export interface AnswerRequest {
  readonly model: string;
  /** One for each choice of the answer. */
  readonly prompts: readonly PromptWish[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly sampling: { readonly temperature: number; readonly topP: number; readonly seed: number | null };
  readonly stop: readonly string[];
  readonly length: LengthWish;
  /** When text leaves: with its check, or at once. */
  readonly release: 'checked' | 'early';
}

/** A prompt, and the name of the parameter that it came in. */
export interface PromptWish {
  readonly param: string;
  readonly prompt: PromptSource | { readonly type: 'tokens'; readonly tokens: readonly number[] };
}

/** How long an answer may be. */
export interface LengthWish {
  /** Null where nothing was said of it. */
  readonly asked: number | null;
  /** The name of the parameter that said it. */
  readonly param: string;
  /** What an answer has at most where nothing was said; null for as many as the model has room for. */
  readonly usual: number | null;
}

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
  reasoning_effort: ['none'],
  response_format: [{ type: 'text' }],
  service_tier: ['auto', 'default'],
  store: [false],
  tool_choice: ['none', 'auto'],
  tools: [[]],
  top_logprobs: [0],
  verbosity: ['medium'],
  web_search_options: [],
} satisfies Record<string, readonly unknown[]>;

const unsupportedInCompletions = {
  ...unsupportedEverywhere,
  best_of: [1],
  echo: [false],
  logprobs: [],
  suffix: [''],
} satisfies Record<string, readonly unknown[]>;

/** Fields of messages, many of them of earlier answers that clients send back. */
const unsupportedInMessages = {
  annotations: [[]],
  audio: [],
  function_call: [],
  images: [[]],
  parsed: [],
  reasoning: [''],
  reasoning_content: [''],
  reasoning_details: [[]],
  refusal: [''],
  tool_call_id: [],
  tool_calls: [[]],
} satisfies Record<string, readonly unknown[]>;

/** Fields of the parts of a message. */
const unsupportedInParts = { annotations: [[]] } satisfies Record<string, readonly unknown[]>;

/** A list of so many items, read up to the first that is wrong: of a million, each would have its fault noted otherwise. */
function listOf<Item extends z.ZodType>(item: Item, least: number, most: number, error?: string) {
  const list = z.array(z.unknown(), error === undefined ? {} : { error });
  return list
    .min(least)
    .max(most)
    .transform((values, context): z.infer<Item>[] => {
      const items: z.infer<Item>[] = [];
      for (const [i, value] of values.entries()) {
        const parsed = item.safeParse(value, { error: formWords });
        if (parsed.success) items.push(parsed.data);
        else {
          const [issue] = parsed.error.issues;
          if (issue) context.addIssue({ ...issue, path: [i, ...issue.path] });
          return z.NEVER;
        }
      }
      return items;
    });
}

/** Half of a surrogate pair has no UTF-8: the tokenizer would read another text than was sent. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const LONE_WORDS = 'has half of a surrogate pair, which stands for no character';
const wholeText = z.string().refine((text) => !LONE_SURROGATE.test(text), LONE_WORDS);

const stopText = wholeText.min(1).max(256);

const sharedFields = {
  model: z.string().min(1).max(200),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.literal(false).nullish() })
    .nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z.preprocess((value) => (typeof value === 'string' ? [value] : value), listOf(stopText, 0, 4).nullish()),
  max_tokens: z.int().min(1).nullish(),
  /** Says who asks. It changes nothing in the answer and is not kept. */
  user: z.string().max(512).nullish(),
};

/** Parameters that the OpenAI API does not have. */
const releaseField = z.enum(['checked', 'early']).nullish();

const textParts = z.preprocess(
  (value) => (typeof value === 'string' ? [{ type: 'text', text: value }] : value),
  listOf(
    z.strictObject({ type: z.literal('text', 'only text is supported'), text: z.string() }),
    1,
    MAX_PARTS,
    'expected a string or a list of text parts',
  ),
);

const messageSchema = z.strictObject({
  role: z.enum(
    ['system', 'developer', 'user', 'assistant'],
    'only system, developer, user and assistant are supported',
  ),
  content: textParts,
  /** Given to the chat template. */
  name: wholeText.max(256).optional(),
});

const chatSchema = z.strictObject({
  ...sharedFields,
  chorus: z.strictObject({ release: releaseField }).nullish(),
  messages: listOf(messageSchema, 1, MAX_MESSAGES),
  max_completion_tokens: z.int().min(1).nullish(),
  prompt_cache_key: z.string().max(512).nullish(),
  safety_identifier: z.string().max(512).nullish(),
});

/** Prompts of one request: each is an answer of its own. */
const MAX_PROMPTS = 32;

/** One or several prompts, all texts or all token ids. */
function readPrompts(value: unknown): readonly (string | readonly number[])[] {
  if (isText(value) || isTokenList(value)) return [value];
  const isList = Array.isArray(value) && value.length > 0 && value.length <= MAX_PROMPTS;
  if (isList && (value.every(isText) || value.every(isTokenList))) return value;
  if (value === undefined) {
    throw new ApiError(400, 'missing_required_parameter', "Missing required parameter: 'prompt'.", { param: 'prompt' });
  }
  const form = `a non-empty string, a list of token ids, or a list of up to ${MAX_PROMPTS} of either`;
  throw new ApiError(400, 'invalid_value', `Invalid value for 'prompt': expected ${form}.`, { param: 'prompt' });
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isTokenList(value: unknown): value is readonly number[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_POSITIONS) return false;
  return value.every((token) => Number.isSafeInteger(token) && token >= 0);
}

const completionSchema = z.strictObject({
  ...sharedFields,
  chorus: z.strictObject({ release: releaseField, markers: z.boolean().nullish() }).nullish(),
  /** For `readPrompts`. */
  prompt: z.unknown(),
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
  const messages = request.messages.map(({ role, content, name }, i) => ({
    role: role === 'developer' ? ('system' as const) : role,
    content: demandWhole(content.map(({ text }) => text).join(''), `messages[${i}].content`),
    ...(name !== undefined && { name }),
  }));
  const param = newerLimit === null ? 'max_tokens' : 'max_completion_tokens';
  return {
    ...readShared(request),
    prompts: [{ param: 'messages', prompt: { type: 'messages', messages } }],
    length: { asked: newerLimit ?? limit, param, usual: null },
  };
}

/** Reads the body of POST /v1/completions; throws ApiError naming the first parameter that is wrong or not supported. */
export function parseCompletionRequest(body: unknown): AnswerRequest {
  const request = parseBody(body, completionSchema, unsupportedInCompletions);
  const hasMarkers = request.chorus?.markers ?? false;
  const given = readPrompts(request.prompt);
  const prompts = given.map((prompt, i): PromptWish => {
    const param = given.length === 1 ? 'prompt' : `prompt[${i}]`;
    if (typeof prompt !== 'string') return { param, prompt: { type: 'tokens', tokens: prompt } };
    return { param, prompt: { type: 'text', text: demandWhole(prompt, param), hasMarkers } };
  });
  const asked = request.max_tokens ?? null;
  return {
    ...readShared(request),
    prompts,
    length: { asked, param: 'max_tokens', usual: DEFAULT_COMPLETION_TOKENS },
  };
}

function readShared(
  request: z.infer<z.ZodObject<typeof sharedFields>> & {
    readonly chorus?: { readonly release?: AnswerRequest['release'] | null | undefined } | null | undefined;
  },
): Omit<AnswerRequest, 'prompts' | 'length'> {
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
    sampling: samplingOf(request),
    stop: request.stop ?? [],
  };
}

/** The share of probability 0 holds the likeliest token alone, as temperature 0 does. */
function samplingOf({
  temperature,
  top_p: topP,
  seed,
}: Pick<z.infer<z.ZodObject<typeof sharedFields>>, 'temperature' | 'top_p' | 'seed'>): AnswerRequest['sampling'] {
  if (topP === 0) return { temperature: 0, topP: 1, seed: seed ?? null };
  return { temperature: temperature ?? 1, topP: topP ?? 1, seed: seed ?? null };
}

function parseBody<Schema extends z.ZodType>(
  body: unknown,
  schema: Schema,
  unsupported: Readonly<Record<string, readonly unknown[]>>,
): z.infer<Schema> {
  if (!isObject(body)) {
    throw new ApiError(400, 'invalid_body', 'The request body must be a JSON object (content-type application/json).');
  }
  const supported = takeSupported(body, unsupported);
  const { messages } = supported;
  if (Array.isArray(messages) && messages.length <= MAX_MESSAGES) {
    supported['messages'] = messages.map((message: unknown, i) => takeMessage(message, `messages[${i}].`));
  }
  const parsed = schema.safeParse(supported, { error: formWords });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw issue ? toParameterError(issue, supported) : new ApiError(400, 'invalid_value', 'The request is not valid.');
}

/** What is no message, or no part of one, stays as it is, for the schema to refuse. */
function takeMessage(message: unknown, path: string): unknown {
  if (!isObject(message)) return message;
  const taken = takeSupported(message, unsupportedInMessages, path);
  const { content } = taken;
  if (!Array.isArray(content) || content.length > MAX_PARTS) return taken;
  const takePart = (part: unknown, i: number): unknown =>
    isObject(part) ? takeSupported(part, unsupportedInParts, `${path}content[${i}].`) : part;
  return { ...taken, content: content.map(takePart) };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function demandWhole(text: string, param: string): string {
  if (!LONE_SURROGATE.test(text)) return text;
  throw new ApiError(400, 'invalid_value', `Invalid value for '${param}': ${LONE_WORDS}.`, { param });
}
