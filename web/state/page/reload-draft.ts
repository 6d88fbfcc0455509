const KEY = 'chorus.draft';

/** Storage that outlives a reload of this tab. */
type TabStorage = Pick<Storage, 'getItem' | 'setItem'>;

/** The part of a conversation in which words may be that nobody has answered. */
export interface Unanswered {
  readonly draft: string;
  readonly last: {
    readonly question: string;
    readonly answer: { readonly phase: string; readonly text: string };
  } | null;
}

/** Keeps what was typed, or asked in vain, over a reload of this tab. */
export function keepDraft(storage: TabStorage, { draft, last }: Unanswered): void {
  const isInVain = last?.answer.phase === 'failed' && last.answer.text === '';
  storage.setItem(KEY, draft === '' && isInVain ? last.question : draft);
}

/** What `keepDraft` kept, once. */
export function takeDraft(storage: TabStorage): string {
  const draft = storage.getItem(KEY) ?? '';
  if (draft !== '') storage.setItem(KEY, '');
  return draft;
}
