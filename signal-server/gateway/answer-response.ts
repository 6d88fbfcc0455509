import type { PeerId, SessionId } from '#shared/ids.ts';
import type { Usage } from '#shared/session/answer-event.ts';
import type { Route } from '#shared/session/route.ts';

export type FinishReason = 'stop' | 'length';

/** Who made an answer and how far it was checked: what Chorus adds to the responses of the OpenAI API. */
export interface AnswerProvenance {
  /** One replica ran each stage and nobody re-ran it. */
  readonly tier: 'unchecked';
  readonly session: SessionId;
  readonly stages: readonly {
    readonly start: number;
    readonly end: number;
    readonly primary: PeerId;
    readonly shadows: readonly PeerId[];
  }[];
}

export function toProvenance(route: Route): AnswerProvenance {
  const stages = route.stages.map(({ range, primary, shadows }) => ({
    start: range.start,
    end: range.end,
    primary: primary.id,
    shadows: shadows.map((shadow) => shadow.id),
  }));
  return { tier: 'unchecked', session: route.session, stages };
}

/** What is known of an answer once it is whole. */
export interface AnswerEnd {
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly provenance: AnswerProvenance;
}

/** The JSON of one endpoint's responses. */
export interface ResponseShape {
  /** The response of a request that does not stream. */
  whole(text: string, end: AnswerEnd): unknown;
  /** The chunk before any text, where the endpoint has one. */
  first(): unknown;
  /** One more piece of text. */
  piece(text: string): unknown;
  /** The last chunk with a choice. */
  last(end: AnswerEnd): unknown;
  /** The chunk that closes a stream whose client asked for its usage. */
  usage(usage: Usage): unknown;
}

export interface ResponseHead {
  readonly id: string;
  readonly createdSeconds: number;
  readonly model: string;
  readonly fingerprint: string;
  /** True where a stream's client asked for usage: its chunks then carry `usage: null` up to the last. */
  readonly includeUsage: boolean;
}

type MakeShape = (head: ResponseHead) => ResponseShape;

export const chatShape: MakeShape = (head) => {
  const chunk = (delta: object, finishReason: FinishReason | null, more: object = {}) => ({
    ...commonFields(head, 'chat.completion.chunk'),
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    ...(head.includeUsage && { usage: null }),
    ...more,
  });
  return {
    whole: (text, end) => ({
      ...commonFields(head, 'chat.completion'),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: text, refusal: null },
          logprobs: null,
          finish_reason: end.finishReason,
        },
      ],
      usage: toApiUsage(end.usage),
      chorus: end.provenance,
    }),
    first: () => chunk({ role: 'assistant', content: '', refusal: null }, null),
    piece: (text) => chunk({ content: text }, null),
    last: (end) => chunk({}, end.finishReason, { chorus: end.provenance }),
    usage: (usage) => ({ ...commonFields(head, 'chat.completion.chunk'), choices: [], usage: toApiUsage(usage) }),
  };
};

export const completionShape: MakeShape = (head) => {
  const common = commonFields(head, 'text_completion');
  const chunk = (text: string, finishReason: FinishReason | null, more: object = {}) => ({
    ...common,
    choices: [{ index: 0, text, logprobs: null, finish_reason: finishReason }],
    ...(head.includeUsage && { usage: null }),
    ...more,
  });
  return {
    whole: (text, end) => ({
      ...chunk(text, end.finishReason),
      usage: toApiUsage(end.usage),
      chorus: end.provenance,
    }),
    first: () => null,
    piece: (text) => chunk(text, null),
    last: (end) => chunk('', end.finishReason, { chorus: end.provenance }),
    usage: (usage) => ({ ...common, choices: [], usage: toApiUsage(usage) }),
  };
};

function commonFields(head: ResponseHead, object: string) {
  const { id, createdSeconds, model, fingerprint } = head;
  return { id, object, created: createdSeconds, model, system_fingerprint: fingerprint };
}

function toApiUsage({ promptTokens, completionTokens }: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}
