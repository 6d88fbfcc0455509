import { ChorusError } from '#shared/errors.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { ReleasedText } from '#shared/requester/engine/released-text.ts';
import type { Route } from '#shared/route/route.ts';
import { endsAtStop } from '#shared/text/shown-text.ts';
import type { RequesterPool } from '../node-peer/requester-pool.ts';
import type { GiveReceipt } from './answer-receipt.ts';
import type { Plan } from './answer-plan.ts';
import type { AnswerRequest } from './answer-request.ts';
import { type AnswerEnd, toProvenance } from './answer-response.ts';
import type { AnswerShape } from '../hidden/answer-shape.ts';
import type { GatewayModel } from './gateway-models.ts';

export type AnswerPart =
  /** News for a waiting client. */
  | { readonly type: 'notice'; readonly text: string }
  | { readonly type: 'text'; readonly text: string }
  | ({ readonly type: 'end' } & AnswerEnd);

export interface AnswerDeps {
  readonly requesters: Pick<RequesterPool, 'take'>;
  readonly giveReceipt: GiveReceipt | null;
  /** Hears of each answer that ended. */
  readonly onAnswer?: (shape: AnswerShape) => void;
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
  /** Called with each route that it gets. */
  onRouted: () => void = () => undefined,
): AsyncGenerator<AnswerPart, void, undefined> {
  const { identity, requester, close } = await requesters.take();
  const conversation = requester.openConversation(model);
  const { prompt, promptTokens, maxNewTokens, ...sampling } = plan;
  const createWriter = () => model.text.createWriter(request.stop, promptTokens);
  const released = new ReleasedText(createWriter, promptTokens.length, request.stream ? request.release : 'whole');
  const toStop = request.stop.length > 0 && { isComplete: endsAtStop(createWriter) };
  const routes: Route[] = [];
  let answer = '';
  try {
    for await (const event of conversation.generate({ promptTokens, maxNewTokens, sampling, signal, ...toStop })) {
      if (event.type === 'end' && event.reason === 'cancelled') {
        throw new ChorusError('cancelled', 'the answer was cancelled');
      }
      if (event.type === 'routed') {
        routes.push(event.route);
        onRouted();
      }
      const notice = noticeOf(event);
      if (notice !== null) yield { type: 'notice', text: notice };
      const text = released.take(event);
      answer += text;
      if (text !== '') yield { type: 'text', text };
      if (event.type !== 'end' || event.reason === 'cancelled') continue;
      const { reason: finishReason, usage, evidence } = event;
      const given = await giveReceipt?.({ identity, evidence, model, prompt, answer, stop: request.stop });
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
