import { z } from 'zod';
import { parseErrorCode } from '#shared/errors.ts';
import { TIERS } from '#shared/judge/finding.ts';
import { MAX_POSITIONS } from '#shared/limits.ts';

/** The form in which conversations are kept on this device. What is read there is parsed like anything from outside. */

const MAX_TURNS = 10_000;
/** Characters of a question or an answer. Longer questions, which no model reads, are kept no further. */
export const MAX_TEXT = 4 * 1024 * 1024;
export const MAX_TITLE = 80;
/** Characters of what somebody else said of a failure. */
export const MAX_REASON = 4_000;

/** Names a conversation, or a turn in one: 8 random bytes, so that those of two tabs differ. */
export type KeptId = string & { readonly brand: 'KeptId' };
export const keptIdSchema = z
  .string()
  .regex(/^[0-9a-f]{16}$/)
  .transform((id) => id as KeptId);

const tier = z.enum(TIERS);
const count = z.int().min(0);
/** The last time that a calendar has. */
const MAX_TIME_MS = 8.64e15;
const timeMs = z.number().min(0).max(MAX_TIME_MS);

export const keptErrorSchema = z.object({
  code: z.string().max(40).transform(parseErrorCode),
  message: z.string().max(MAX_REASON),
  details: z.record(z.string().max(40), z.unknown()),
  raw: z.string().max(MAX_REASON).nullable(),
});

export const END_REASONS = ['stop', 'length', 'context', 'cancelled', 'interrupted'] as const;
/**
 * Why an answer has an end: `length` at the longest length set, `context` where the model could read no more,
 * `interrupted` where the page was left while it was written.
 */
export type EndReason = (typeof END_REASONS)[number];

const answerSchema = z.object({
  /** `running` while it is made: one that is found so was interrupted. */
  state: z.enum(['running', 'done', 'failed']),
  parts: z
    .array(z.object({ start: count, end: count, text: z.string().max(MAX_TEXT), tier: tier.nullable() }))
    .max(MAX_POSITIONS),
  endReason: z.enum(END_REASONS).nullable(),
  error: keptErrorSchema.nullable(),
  tokens: count,
  promptTokens: count.nullable(),
  firstTokenMs: timeMs.nullable(),
  tokensPerSecond: timeMs.nullable(),
  tier: tier.nullable(),
  counts: z.object({ checked: count, settled: count, unchecked: count, disputed: count }),
});
export type KeptAnswer = z.infer<typeof answerSchema>;

export const keptTurnSchema = z.object({
  id: keptIdSchema,
  parent: keptIdSchema.nullable(),
  question: z.string().max(MAX_TEXT),
  askedAtMs: timeMs,
  /** Oldest turns that the model was not given with this question. */
  leftOut: count,
  answer: answerSchema,
});
export type KeptTurn = z.infer<typeof keptTurnSchema>;

export const keptConversationSchema = z.object({
  id: keptIdSchema,
  title: z.string().min(1).max(MAX_TITLE),
  createdAtMs: timeMs,
  updatedAtMs: timeMs,
  /** The last turn of the branch that was shown last. */
  leaf: keptIdSchema,
  turns: z.array(keptTurnSchema).min(1).max(MAX_TURNS),
});
export type KeptConversation = z.infer<typeof keptConversationSchema>;

/** The first line of a question, cut at a word where it is long. */
export function titleOf(question: string): string {
  const line = question.trim().split(/\s*\n/, 1)[0]!.replace(/\s+/g, ' ');
  if (line.length <= MAX_TITLE) return line === '' ? 'Untitled' : line;
  const cut = line.slice(0, MAX_TITLE - 1);
  const word = cut.lastIndexOf(' ');
  return `${(word > MAX_TITLE / 2 ? cut.slice(0, word) : cut).trimEnd()}…`;
}

/** True where every word of `wanted` is in the title, a question or an answer. */
export function isFoundIn({ title, turns }: KeptConversation, wanted: string): boolean {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const said = turns.map(({ question, answer }) => [question, answer.parts.map(({ text }) => text).join('')]);
  const text = [title, ...said.flat()].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}
