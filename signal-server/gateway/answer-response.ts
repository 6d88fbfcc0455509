import { ChorusError } from '#shared/errors.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { CheckCounts, CheckFailure, Tier } from '#shared/judge/finding.ts';
import type { AnswerEvent, Usage } from '#shared/requester/answer-event.ts';
import type { CheckSummary } from '#shared/requester/engine/check-summary.ts';
import { readersOf } from '#shared/route/readers.ts';
import type { Route } from '#shared/route/route.ts';
import type { ReceiptNote } from './answer-receipt.ts';

export type FinishReason = 'stop' | 'length';

/** One stage of a route: layers [start, end) and who ran them. */
interface StageKeys {
  readonly start: number;
  readonly end: number;
  readonly primary: PeerId;
  readonly shadows: readonly PeerId[];
}

/** The makers of an answer and how far it was checked: Chorus's addition to the responses of the OpenAI API. */
export interface AnswerProvenance {
  /** The lowest tier of its parts. */
  readonly tier: Tier;
  /** The route that the answer ended on. */
  readonly session: SessionId;
  readonly stages: readonly StageKeys[];
  /** Routes that it was begun on and had to leave; what was kept of their work was checked. */
  readonly earlier: readonly { readonly session: SessionId; readonly stages: readonly StageKeys[] }[];
  /** Volunteers that could read the prompt, on all these routes and in settling differences. */
  readonly readers: number;
  readonly checks: CheckCounts & {
    readonly chunks: number;
    /** Positions of prompt and answer that have a verdict. */
    readonly positions: number;
    readonly worst: CheckSummary['worst'];
    readonly faults: readonly {
      readonly volunteer: PeerId;
      readonly stage: number;
      readonly code: CheckFailure;
      readonly proven: boolean;
    }[];
  };
}

/** `routes` in the order in which they were used, at least one; the verdict is that of the receipt where there is one. */
export function toProvenance(
  routes: readonly Route[],
  { tier, counts }: Pick<Extract<AnswerEvent, { type: 'end' }>, 'tier' | 'counts'>,
  { positions, worst, faults, thirds }: CheckSummary,
): AnswerProvenance {
  const last = routes.at(-1);
  if (last === undefined) throw new ChorusError('internal', 'an answer ended before it had a route');
  const { checked, settled, unchecked, disputed } = counts;
  return {
    tier,
    ...toKeys(last),
    earlier: routes.slice(0, -1).map(toKeys),
    readers: readersOf(routes, thirds).size,
    checks: {
      chunks: checked + settled + unchecked + disputed,
      ...{ checked, settled, unchecked, disputed },
      positions,
      worst,
      faults: faults.map(({ volunteer, stage, code, isProven }) => ({ volunteer, stage, code, proven: isProven })),
    },
  };
}

function toKeys({ session, stages }: Route): { session: SessionId; stages: StageKeys[] } {
  return {
    session,
    stages: stages.map(({ range, primary, shadows }) => ({
      start: range.start,
      end: range.end,
      primary: primary.id,
      shadows: shadows.map((shadow) => shadow.id),
    })),
  };
}

/** The facts of an answer once it is whole. */
export interface AnswerEnd {
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly provenance: AnswerProvenance & Partial<ReceiptNote>;
}

/** The JSON of one endpoint's responses. */
export interface ResponseShape {
  /** The response of a request that does not stream. */
  whole(answers: readonly WholeAnswer[]): unknown;
  /** The chunk before any text of a choice, where the endpoint has one. */
  first(index: number): unknown;
  /** One more piece of a choice's text. */
  piece(index: number, text: string): unknown;
  /** The last chunk of a choice. */
  last(index: number, end: AnswerEnd): unknown;
  /** The chunk that closes a stream whose client asked for its usage. */
  usage(ends: readonly AnswerEnd[]): unknown;
}

export interface WholeAnswer {
  readonly text: string;
  readonly end: AnswerEnd;
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
  const chunk = (index: number, delta: object, finishReason: FinishReason | null, more: object = {}) => ({
    ...commonFields(head, 'chat.completion.chunk'),
    choices: [{ index, delta, logprobs: null, finish_reason: finishReason }],
    ...(head.includeUsage && { usage: null }),
    ...more,
  });
  return {
    whole: (answers) => ({
      ...commonFields(head, 'chat.completion'),
      choices: answers.map(({ text, end }, index) => ({
        index,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: null,
        finish_reason: end.finishReason,
        ...ofSeveral(answers, end),
      })),
      ...sumOf(answers),
    }),
    first: (index) => chunk(index, { role: 'assistant', content: '', refusal: null }, null),
    piece: (index, text) => chunk(index, { content: text }, null),
    last: (index, end) => chunk(index, {}, end.finishReason, { chorus: end.provenance }),
    usage: (ends) => ({ ...commonFields(head, 'chat.completion.chunk'), choices: [], usage: toApiUsage(ends) }),
  };
};

export const completionShape: MakeShape = (head) => {
  const common = commonFields(head, 'text_completion');
  const chunk = (index: number, text: string, finishReason: FinishReason | null, more: object = {}) => ({
    ...common,
    choices: [{ index, text, logprobs: null, finish_reason: finishReason }],
    ...(head.includeUsage && { usage: null }),
    ...more,
  });
  return {
    whole: (answers) => ({
      ...common,
      choices: answers.map(({ text, end }, index) => ({
        ...{ index, text, logprobs: null, finish_reason: end.finishReason },
        ...ofSeveral(answers, end),
      })),
      ...sumOf(answers),
    }),
    first: () => null,
    piece: (index, text) => chunk(index, text, null),
    last: (index, end) => chunk(index, '', end.finishReason, { chorus: end.provenance }),
    usage: (ends) => ({ ...common, choices: [], usage: toApiUsage(ends) }),
  };
};

/** Of one answer the provenance stands beside its choice, of several within each. */
function sumOf(answers: readonly WholeAnswer[]) {
  const [only] = answers;
  const usage = toApiUsage(answers.map(({ end }) => end));
  return answers.length === 1 ? { usage, chorus: only?.end.provenance } : { usage };
}

function ofSeveral(answers: readonly WholeAnswer[], { provenance }: AnswerEnd) {
  return answers.length === 1 ? {} : { chorus: provenance };
}

function commonFields(head: ResponseHead, object: string) {
  const { id, createdSeconds, model, fingerprint } = head;
  return { id, object, created: createdSeconds, model, system_fingerprint: fingerprint };
}

function toApiUsage(ends: readonly Pick<AnswerEnd, 'usage'>[]) {
  const sum = (count: (usage: Usage) => number): number => ends.reduce((all, { usage }) => all + count(usage), 0);
  const [prompt, completion] = [sum(({ promptTokens }) => promptTokens), sum((usage) => usage.completionTokens)];
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}
