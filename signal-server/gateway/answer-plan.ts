import { toChorusError } from '#shared/errors.ts';
import type { Prompt } from '#shared/text/prompt.ts';
import { ApiError } from '../http/api-error.ts';
import type { AnswerRequest, PromptWish } from './answer-request.ts';
import type { EncodedPrompt } from '../encoder/encoder-message.ts';
import type { GatewayModel } from './gateway-models.ts';

/** More characters than the tokens of common vocabularies have at most: a text of more for each position is refused unread. */
const MAX_TOKEN_CHARACTERS = 128;

/** Everything that an answer is made from. */
export interface Plan {
  /** Null where the prompt came as token ids. */
  readonly prompt: Prompt | null;
  readonly promptTokens: readonly number[];
  readonly maxNewTokens: number;
}

/**
 * The tokens that go in and how many may come out. Rejects with ApiError where the prompt is empty, has ids that the model
 * does not know, or leaves no room.
 */
export async function planAnswer(
  model: GatewayModel,
  wish: PromptWish,
  length: AnswerRequest['length'],
): Promise<Plan> {
  const { vocabularySize, maxPositions } = model.manifest.config;
  const { param } = wish;
  const { prompt, tokens } = await encodePrompt(model, wish);
  if (tokens.length === 0) throw new ApiError(400, 'invalid_value', 'The prompt is empty.', { param });
  if (tokens.some((token) => token >= vocabularySize)) {
    throw new ApiError(400, 'invalid_value', `Token ids must be below ${vocabularySize}.`, { param });
  }
  const room = maxPositions - tokens.length;
  if (room < 1) throw tooLong(maxPositions, `The prompt has ${tokens.length}, which leaves none for an answer.`, param);
  const { asked, usual } = length;
  if (asked !== null && asked > room) {
    const message = `The prompt has ${tokens.length} and '${length.param}' asks for ${asked} more, where ${room} are left.`;
    throw tooLong(maxPositions, message, length.param);
  }
  return { prompt, promptTokens: tokens, maxNewTokens: asked ?? Math.min(usual ?? room, room) };
}

async function encodePrompt(
  { text, manifest }: GatewayModel,
  { prompt, param }: PromptWish,
): Promise<Pick<EncodedPrompt, 'tokens'> & { readonly prompt: Prompt | null }> {
  if (prompt.type === 'tokens') return { prompt: null, tokens: prompt.tokens };
  const { maxPositions } = manifest.config;
  const characters = charactersOf(prompt);
  if (characters > maxPositions * MAX_TOKEN_CHARACTERS) {
    throw tooLong(maxPositions, `These are too few for a prompt of ${characters} characters.`, param);
  }
  try {
    return await text.encode(prompt, maxPositions);
  } catch (thrown) {
    const { code, message } = toChorusError(thrown);
    if (code === 'too-long') {
      throw tooLong(maxPositions, `These are too few for a prompt of ${characters} characters.`, param);
    }
    // A refusal of the template (of two questions in a row, say) is for the client to mend.
    if (code !== 'bad-message' && code !== 'unsupported') throw thrown;
    throw new ApiError(400, 'invalid_value', `Invalid value for '${param}': ${message}.`, { param });
  }
}

function charactersOf(prompt: Exclude<PromptWish['prompt'], { type: 'tokens' }>): number {
  if (prompt.type === 'text') return prompt.text.length;
  return prompt.messages.reduce((sum, { content, name = '' }) => sum + content.length + name.length, 0);
}

function tooLong(maxPositions: number, reason: string, param: string): ApiError {
  const message = `This model's maximum context length is ${maxPositions} tokens. ${reason}`;
  return new ApiError(400, 'context_length_exceeded', message, { param });
}
