import { z } from 'zod';
import { keptIdSchema, keptTurnSchema, MAX_TEXT } from '../conversations/kept-conversation.ts';
import type { OpenInTab } from './conversation/dialogue.svelte.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';

const MAX_DRAFT = 2 * 1024 * 1024;
const MAX_UNWRITTEN = 64;

const openSchema = z.object({
  conversation: keptIdSchema.nullable(),
  draft: z.string().max(MAX_DRAFT),
  edited: z
    .object({ turn: keptIdSchema, text: z.string().max(MAX_TEXT) })
    .nullable()
    .default(null),
  unwritten: z
    .array(z.object({ conversation: keptIdSchema, turn: keptTurnSchema }))
    .max(MAX_UNWRITTEN)
    .default([]),
});

/** What this tab has open, in storage that outlives a reload of the tab. */
export function openInTab(tabStorage: KeyValueStorage): Stored<OpenInTab> {
  return new Stored<OpenInTab>(tabStorage, 'chorus.open', openSchema, {
    ...{ conversation: null, draft: '', edited: null, unwritten: [] },
  });
}
