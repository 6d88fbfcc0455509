import type { ChatMessage } from '#shared/text/model-text.ts';

/** How many tokens a prompt has for one model, and how many that one reads in all, the answer included. */
export interface PromptMeter {
  readonly maxPositions: number;
  /** At least the tokens of the prompt, exact where they fit. */
  count(messages: readonly ChatMessage[]): number;
}

/** How a question fits into what the model reads. */
export interface ContextFit {
  readonly promptTokens: number;
  readonly maxPositions: number;
  /** Tokens that are left for the answer; 0 where not even the prompt fits. */
  readonly room: number;
  /** Oldest turns that are left out already. */
  readonly leftOut: number;
  /** The oldest turns to leave out for an answer of fair length; null where it has that, or where leaving out makes none. */
  readonly offer: { readonly leftOut: number; readonly room: number } | null;
}

/** An answer that has this share of what a model reads, or the longest length set, is of fair length. */
const FAIR_SHARE = 1 / 4;

export interface Asking {
  /** Earlier turns of the branch, oldest first. */
  readonly turns: readonly { readonly question: string; readonly answer: string }[];
  readonly question: string;
  /** Oldest turns to leave out. */
  readonly leftOut: number;
  readonly maxNewTokens: number;
}

/** The messages of a prompt without its oldest turns. Turns without an answer are none of the conversation. */
export function messagesOf({ turns, question, leftOut }: Omit<Asking, 'maxNewTokens'>): ChatMessage[] {
  const said = turns.slice(leftOut).filter(({ answer }) => answer !== '');
  return [
    ...said.flatMap((turn) => [
      { role: 'user', content: turn.question },
      { role: 'assistant', content: turn.answer },
    ]),
    { role: 'user', content: question },
  ];
}

export function fitContext(asking: Asking, meter: PromptMeter): ContextFit {
  const { leftOut, maxNewTokens, turns } = asking;
  const { maxPositions } = meter;
  const tokensWithout = (oldest: number): number => meter.count(messagesOf({ ...asking, leftOut: oldest }));
  const roomWithout = (oldest: number): number => Math.max(0, maxPositions - tokensWithout(oldest));
  const promptTokens = tokensWithout(leftOut);
  const room = Math.max(0, maxPositions - promptTokens);
  const fair = Math.min(maxNewTokens, Math.floor(maxPositions * FAIR_SHARE));
  let offer: ContextFit['offer'] = null;
  for (let oldest = leftOut + 1; room < fair && oldest <= turns.length; oldest++) {
    const more = roomWithout(oldest);
    if (more > room) offer = { leftOut: oldest, room: more };
    if (more >= fair) break;
  }
  return { promptTokens, maxPositions, room, leftOut, offer };
}
