import { z } from 'zod';
import type { Dialogue } from '../dialogue.svelte.ts';
import { Stored, type KeyValueStorage } from '../stored.svelte.ts';

const draftOf = (storage: KeyValueStorage) => new Stored(storage, 'chorus.draft', z.string(), '');

/** Keeps what was typed, or asked in vain, over a reload of this tab. */
export function keepDraft(storage: KeyValueStorage, { draft, last }: Pick<Dialogue, 'draft' | 'last'>): void {
  const failed = last !== null && last.answer.phase === 'failed' && last.answer.text === '' ? last.question : '';
  draftOf(storage).value = draft === '' ? failed : draft;
}

/** What `keepDraft` kept, once. */
export function takeDraft(storage: KeyValueStorage): string {
  const kept = draftOf(storage);
  const draft = kept.value;
  if (draft !== '') kept.value = '';
  return draft;
}
