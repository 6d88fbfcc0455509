import { z } from 'zod';
import { keptIdSchema } from '../conversations/kept-conversation.ts';
import type { OpenInTab } from './conversation/dialogue.svelte.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';

const MAX_DRAFT = 2 * 1024 * 1024;
const openSchema = z.object({ conversation: keptIdSchema.nullable(), draft: z.string().max(MAX_DRAFT) });

/** What this tab has open, in storage that outlives a reload of the tab. */
export function openInTab(tabStorage: KeyValueStorage): Stored<OpenInTab> {
  return new Stored<OpenInTab>(tabStorage, 'chorus.open', openSchema, { conversation: null, draft: '' });
}
