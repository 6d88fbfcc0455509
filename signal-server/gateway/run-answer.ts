import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Requester } from '#shared/peer/requester.ts';
import type { AnswerEvent } from '#shared/session/answer-event.ts';
import { ReleasedText } from '#shared/session/released-text.ts';
import type { Route } from '#shared/session/route.ts';
import { endsAtStop } from '#shared/text/shown-text.ts';
import type { AnswerRequest, ChatMessage, Prompt } from './answer-request.ts';
import { type AnswerEnd, toProvenance } from './answer-response.ts';
import { ApiError } from './api-error.ts';
import type { GatewayModel } from './gateway-models.ts';

/**
 * Above what the longest tokens of common vocabularies hold, such as 128 spaces. A text that cannot fit is refused unread,
 * since a tokenizer takes seconds for the largest body, and all else waits for it.
 */
const MAX_TOKEN_CHARACTERS = 128;

export type AnswerPart =
  /** What a waiting client may be told. */
  | { readonly type: 'notice'; readonly text: string }
  | { readonly type: 'text'; readonly text: string }
  | ({ readonly type: 'end' } & AnswerEnd);

/**
 * The tokens that go in and how many may come out. Throws ApiError where the prompt is empty, has ids that the model
 * does not know, or leaves no room.
 */
export function planAnswer(
  model: GatewayModel,
  request: AnswerRequest,
): { promptTokens: number[]; maxNewTokens: number } {
  const { vocabularySize, maxPositions } = model.manifest.config;
  const param = request.prompt.type === 'messages' ? 'messages' : 'prompt';
  const characters = charactersOf(request.prompt);
  if (characters > maxPositions * MAX_TOKEN_CHARACTERS) {
    const message = `This model's maximum context length is ${maxPositions} tokens, too few for a prompt of ${characters} characters.`;
    throw new ApiError(400, 'context_length_exceeded', message, { param });
  }
  const promptTokens = encodePrompt(model, request);
  if (promptTokens.length === 0) throw new ApiError(400, 'invalid_value', 'The prompt is empty.', { param });
  if (promptTokens.some((token) => token >= vocabularySize)) {
    throw new ApiError(400, 'invalid_value', `Token ids must be below ${vocabularySize}.`, { param });
  }
  const room = maxPositions - promptTokens.length;
  const asked = request.maxNewTokens ?? 1;
  if (asked > room) {
    const message =
      `This model's maximum context length is ${maxPositions} tokens. However, you requested ` +
      `${promptTokens.length + asked} tokens (${promptTokens.length} in the prompt, ${asked} for the answer).`;
    throw new ApiError(400, 'context_length_exceeded', message, { param });
  }
  return { promptTokens, maxNewTokens: request.maxNewTokens ?? room };
}

function charactersOf(prompt: Prompt): number {
  switch (prompt.type) {
    case 'messages':
      return prompt.messages.reduce((sum, message) => sum + message.content.length, 0);
    case 'text':
      return prompt.text.length;
    case 'tokens':
      return 0;
  }
}

function encodePrompt({ text }: GatewayModel, { prompt }: AnswerRequest): number[] {
  switch (prompt.type) {
    case 'messages':
      return encodeChat(text, prompt.messages);
    case 'text':
      return text.encode(prompt.text);
    case 'tokens':
      return [...prompt.tokens];
  }
}

/** What a chat template refuses (two questions in a row, say) is the client's to mend. */
function encodeChat(text: GatewayModel['text'], messages: readonly ChatMessage[]): number[] {
  try {
    return text.encodeChat(messages);
  } catch (thrown) {
    const { code, message } = toChorusError(thrown);
    if (code !== 'bad-message' && code !== 'unsupported') throw thrown;
    throw new ApiError(400, 'invalid_value', `Invalid value for 'messages': ${message}.`, { param: 'messages' });
  }
}

/**
 * Makes one answer and turns its tokens into text, up to a stop string. A stream gets text as `request.release` says,
 * otherwise all of it comes at the end. Throws what `Conversation.generate` and `ReleasedText.take` throw, and `cancelled`
 * when `signal` fires; the session is given back in every case.
 */
export async function* runAnswer(
  requester: Pick<Requester, 'openConversation'>,
  model: GatewayModel,
  request: Pick<AnswerRequest, 'stop' | 'stream' | 'release'>,
  plan: { promptTokens: readonly number[]; maxNewTokens: number; temperature: number; topP: number; seed: number },
  signal: AbortSignal,
): AsyncGenerator<AnswerPart, void, undefined> {
  const conversation = requester.openConversation(model);
  const { promptTokens, maxNewTokens, ...sampling } = plan;
  const createWriter = () => model.text.createWriter(request.stop);
  const released = new ReleasedText(createWriter, promptTokens.length, request.stream ? request.release : 'whole');
  const toStop = request.stop.length > 0 && { isComplete: endsAtStop(createWriter) };
  const routes: Route[] = [];
  try {
    for await (const event of conversation.generate({ promptTokens, maxNewTokens, sampling, signal, ...toStop })) {
      if (event.type === 'end' && event.reason === 'cancelled') {
        throw new ChorusError('cancelled', 'the answer was cancelled');
      }
      if (event.type === 'routed') routes.push(event.route);
      const notice = noticeOf(event);
      if (notice !== null) yield { type: 'notice', text: notice };
      const text = released.take(event);
      if (text !== '') yield { type: 'text', text };
      if (event.type !== 'end' || event.reason === 'cancelled') continue;
      const provenance = toProvenance(routes, event, released.summary);
      yield { type: 'end', finishReason: event.reason, usage: event.usage, provenance };
    }
  } finally {
    conversation.close();
  }
}

function noticeOf(event: AnswerEvent): string | null {
  switch (event.type) {
    case 'queued':
      return `queued, position ${event.position}`;
    case 'settling':
      return `settling a difference at stage ${event.stage}`;
    case 'rerouted':
      return 'going on over another route';
    default:
      return null;
  }
}
