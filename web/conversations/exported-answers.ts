import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';

/** An answer in the file of a conversation that has a receipt: what is to be verified together. */
export interface ExportedAnswer {
  readonly question: string;
  readonly answer: string;
  /** As its own file would have it. */
  readonly receipt: unknown;
  readonly secrets: unknown;
}

const MAX_TURNS = 10_000;
const fileSchema = z.object({
  format: z.literal('chorus-conversation/1'),
  turns: z
    .array(z.object({ question: z.string(), answer: z.string(), receipt: z.unknown(), secrets: z.unknown() }))
    .max(MAX_TURNS),
});

/** The answers with receipts in what `exportConversation` wrote. Throws `bad-message` for anything else. */
export function exportedAnswers(value: unknown): ExportedAnswer[] {
  const file = fileSchema.safeParse(value);
  if (!file.success) throw new ChorusError('bad-message', 'this is no conversation as Chorus exports them');
  const answers = file.data.turns.filter(({ receipt }) => receipt !== null && receipt !== undefined);
  if (answers.length === 0) throw new ChorusError('bad-message', 'no answer of this conversation has a receipt');
  return answers;
}
