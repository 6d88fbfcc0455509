import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Requester } from '#shared/peer/requester.ts';
import type { Usage } from '#shared/session/answer-event.ts';
import type { AnswerRequest, ChatMessage, Prompt } from './answer-request.ts';
import { type AnswerEnd, type AnswerProvenance, toProvenance } from './answer-response.ts';
import { ApiError } from './api-error.ts';
import type { GatewayModel } from './gateway-models.ts';

/**
 * Above what the longest tokens of common vocabularies hold, such as 128 spaces. A text that cannot fit is refused unread,
 * since a tokenizer takes seconds for the largest body, and all else waits for it.
 */
const MAX_TOKEN_CHARACTERS = 128;

export type AnswerPart =
  | { readonly type: 'queued'; readonly position: number }
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
 * Makes one answer and turns its tokens into text, up to a stop string. Throws what `Conversation.generate` throws, and
 * `cancelled` when `signal` fires; the session is given back in every case.
 */
export async function* runAnswer(
  requester: Pick<Requester, 'openConversation'>,
  model: GatewayModel,
  request: Pick<AnswerRequest, 'stop'>,
  plan: { promptTokens: readonly number[]; maxNewTokens: number; temperature: number; topP: number; seed: number },
  signal: AbortSignal,
): AsyncGenerator<AnswerPart, void, undefined> {
  const conversation = requester.openConversation(model);
  const writer = model.text.createWriter(request.stop);
  const { promptTokens, maxNewTokens, ...sampling } = plan;
  let provenance: AnswerProvenance | null = null;
  let completionTokens = 0;
  const finish = (finishReason: 'stop' | 'length', usage: Usage): AnswerPart => {
    if (!provenance) throw new ChorusError('internal', 'an answer ended before it had a route');
    return { type: 'end', finishReason, usage, provenance };
  };
  try {
    for await (const event of conversation.generate({ promptTokens, maxNewTokens, sampling, signal })) {
      switch (event.type) {
        case 'queued':
          yield event;
          break;
        case 'routed':
          provenance = toProvenance(event.route);
          break;
        case 'token': {
          completionTokens += 1;
          const text = writer.push(event.token);
          if (text !== '') yield { type: 'text', text };
          if (!writer.isStopped) break;
          yield finish('stop', { promptTokens: promptTokens.length, completionTokens });
          return;
        }
        case 'end': {
          if (event.reason === 'cancelled') throw new ChorusError('cancelled', 'the answer was cancelled');
          const text = writer.end();
          if (text !== '') yield { type: 'text', text };
          yield finish(event.reason, event.usage);
          return;
        }
        case 'prompt':
        case 'rerouted':
          break;
      }
    }
  } finally {
    conversation.close();
  }
}
