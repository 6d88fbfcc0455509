import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { ReleasedText } from '#shared/requester/engine/released-text.ts';
import type { Route } from '#shared/route/route.ts';
import type { ChatMessage } from '#shared/text/model-text.ts';
import { endsAtStop } from '#shared/text/shown-text.ts';
import { ApiError } from '../http/api-error.ts';
import type { RequesterPool } from '../node-peer/requester-pool.ts';
import type { GiveReceipt } from './answer-receipt.ts';
import type { AnswerRequest, Prompt } from './answer-request.ts';
import { type AnswerEnd, toProvenance } from './answer-response.ts';
import type { AnswerShape } from '../hidden/answer-shape.ts';
import type { GatewayModel } from './gateway-models.ts';

/**
 * Above what the longest tokens of common vocabularies hold, such as 128 spaces. A text that cannot fit is refused unread,
 * since a tokenizer takes seconds for the largest body, and all else waits for it.
 */
const MAX_TOKEN_CHARACTERS = 128;

export type AnswerPart =
  /** News for a waiting client. */
  | { readonly type: 'notice'; readonly text: string }
  | { readonly type: 'text'; readonly text: string }
  | ({ readonly type: 'end' } & AnswerEnd);

/** Everything that an answer is made from. */
export interface Plan {
  /** The text of which `promptTokens` are the tokens; null where the prompt came as token ids. */
  readonly renderedPrompt: string | null;
  readonly promptTokens: readonly number[];
  readonly maxNewTokens: number;
}

export interface AnswerDeps {
  readonly requesters: Pick<RequesterPool, 'take'>;
  readonly giveReceipt: GiveReceipt | null;
  /** Hears of each answer that ended. */
  readonly onAnswer?: (shape: AnswerShape) => void;
}

/**
 * The tokens that go in and how many may come out. Throws ApiError where the prompt is empty, has ids that the model
 * does not know, or leaves no room.
 */
export function planAnswer(model: GatewayModel, request: AnswerRequest): Plan {
  const { vocabularySize, maxPositions } = model.manifest.config;
  const param = request.prompt.type === 'messages' ? 'messages' : 'prompt';
  const characters = charactersOf(request.prompt);
  if (characters > maxPositions * MAX_TOKEN_CHARACTERS) {
    const message = `This model's maximum context length is ${maxPositions} tokens, too few for a prompt of ${characters} characters.`;
    throw new ApiError(400, 'context_length_exceeded', message, { param });
  }
  const { renderedPrompt, promptTokens } = encodePrompt(model, request);
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
  return { renderedPrompt, promptTokens, maxNewTokens: request.maxNewTokens ?? room };
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

function encodePrompt({ text }: GatewayModel, { prompt }: AnswerRequest): Omit<Plan, 'maxNewTokens'> {
  switch (prompt.type) {
    case 'messages': {
      const renderedPrompt = renderChat(text, prompt.messages);
      return { renderedPrompt, promptTokens: text.encodeRendered(renderedPrompt) };
    }
    case 'text':
      return { renderedPrompt: prompt.text, promptTokens: text.encode(prompt.text) };
    case 'tokens':
      return { renderedPrompt: null, promptTokens: [...prompt.tokens] };
  }
}

/** The prompt of a chat. A refusal of the template (of two questions in a row, say) is for the client to mend. */
function renderChat(text: GatewayModel['text'], messages: readonly ChatMessage[]): string {
  try {
    return text.renderChat(messages);
  } catch (thrown) {
    const { code, message } = toChorusError(thrown);
    if (code !== 'bad-message' && code !== 'unsupported') throw thrown;
    throw new ApiError(400, 'invalid_value', `Invalid value for 'messages': ${message}.`, { param: 'messages' });
  }
}

/**
 * Makes one answer and turns its tokens into text, up to a stop string. A stream gets text as `request.release` says,
 * otherwise all of it comes at the end. With `giveReceipt`, the receipt is of just the text that was given out. Throws what `RequesterPool.take`, `Conversation.generate` and `ReleasedText.take` throw, and `cancelled`
 * when `signal` fires; the session is given back in every case.
 */
export async function* runAnswer(
  { requesters, giveReceipt, onAnswer }: AnswerDeps,
  model: GatewayModel,
  request: Pick<AnswerRequest, 'stop' | 'stream' | 'release'>,
  plan: Plan & { temperature: number; topP: number; seed: number },
  signal: AbortSignal,
): AsyncGenerator<AnswerPart, void, undefined> {
  const { identity, requester, close } = await requesters.take();
  const conversation = requester.openConversation(model);
  const { renderedPrompt, promptTokens, maxNewTokens, ...sampling } = plan;
  const createWriter = () => model.text.createWriter(request.stop);
  const released = new ReleasedText(createWriter, promptTokens.length, request.stream ? request.release : 'whole');
  const toStop = request.stop.length > 0 && { isComplete: endsAtStop(createWriter) };
  const routes: Route[] = [];
  let answer = '';
  try {
    for await (const event of conversation.generate({ promptTokens, maxNewTokens, sampling, signal, ...toStop })) {
      if (event.type === 'end' && event.reason === 'cancelled') {
        throw new ChorusError('cancelled', 'the answer was cancelled');
      }
      if (event.type === 'routed') routes.push(event.route);
      const notice = noticeOf(event);
      if (notice !== null) yield { type: 'notice', text: notice };
      const text = released.take(event);
      answer += text;
      if (text !== '') yield { type: 'text', text };
      if (event.type !== 'end' || event.reason === 'cancelled') continue;
      const { reason: finishReason, usage, evidence } = event;
      const given = await giveReceipt?.({ identity, evidence, model, renderedPrompt, answer, stop: request.stop });
      onAnswer?.({
        ...{ promptTokens: usage.promptTokens, answerTokens: usage.completionTokens, maxNewTokens },
        ...{ temperature: sampling.temperature, topP: sampling.topP },
      });
      const provenance = { ...toProvenance(routes, given?.verdict ?? event, released.summary), ...given?.note };
      yield { type: 'end', finishReason, usage, provenance };
    }
  } finally {
    conversation.close();
    close();
  }
}

function noticeOf(event: AnswerEvent): string | null {
  switch (event.type) {
    case 'queued':
      return `queued, position ${event.position}`;
    case 'settling':
      return `settling a difference at stage ${event.stage + 1}`;
    case 'rerouted':
      return 'going on over another route';
    case 'redrawn':
      return 'going on with the token of the exact replica';
    default:
      return null;
  }
}
