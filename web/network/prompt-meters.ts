import type { Digest } from '#shared/ids.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import type { PromptMeter } from '../conversations/fit-context.ts';
import type { BlobStoreOptions } from '../browser/blob-store.ts';
import { manifestBytes } from '../receipts/manifest-bytes.ts';
import { fetchManifest } from './api.ts';
import { loadModelText } from './load-model-text.ts';

/** Characters of one token, at most, as far as a text is looked at that is surely too long. */
const MAX_TOKEN_CHARACTERS = 32;

/**
 * Counts tokens for a model without connecting to anybody: its tokenizer comes from the server, or is kept here. Rejects
 * with why it could not be had.
 */
export async function openPromptMeter(
  model: Digest,
  storage: BlobStoreOptions,
  signal: AbortSignal,
): Promise<PromptMeter> {
  const bytes = manifestBytes(await fetchManifest(model, signal), model);
  const manifest = manifestSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  const { maxPositions } = manifest.config;
  return promptMeter(await loadModelText(manifest, storage, signal), maxPositions);
}

/** Counts with this tokenizer and chat template. Of a text that is far too long, no more is read than shows that. */
export function promptMeter(text: Pick<ModelText, 'renderChat' | 'encodeRendered'>, maxPositions: number): PromptMeter {
  return {
    maxPositions,
    count(messages) {
      const rendered = text.renderChat(messages);
      const readable = rendered.slice(0, MAX_TOKEN_CHARACTERS * maxPositions);
      const count = text.encodeRendered(readable).length;
      const isWhole = readable.length === rendered.length || count > maxPositions;
      return isWhole ? count : text.encodeRendered(rendered).length;
    },
  };
}
