import { parseStrictJson } from '#shared/crypto/strict-json.ts';
import { toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { manifestSchema } from '#shared/model/manifest.ts';
import type { ModelText } from '#shared/text/model-text.ts';
import type { PromptMeter } from '../conversations/fit-context.ts';
import type { BlobStoreOptions } from '../browser/blob-store.ts';
import { manifestBytes } from '../receipts/manifest-bytes.ts';
import { fetchManifest } from './api.ts';
import { loadModelText } from './load-model-text.ts';

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
  const manifest = manifestSchema.parse(parseStrictJson(bytes));
  const { maxPositions } = manifest.config;
  return promptMeter(await loadModelText(manifest, storage, signal), maxPositions);
}

/** Counts with this tokenizer and chat template. A text that is far too long is not read, and counts as too long by one. */
export function promptMeter(text: Pick<ModelText, 'chatPrompt' | 'encodePrompt'>, maxPositions: number): PromptMeter {
  return {
    maxPositions,
    count(messages) {
      try {
        return text.encodePrompt(text.chatPrompt(messages), maxPositions).length;
      } catch (thrown) {
        if (toChorusError(thrown).code === 'too-long') return maxPositions + 1;
        throw thrown;
      }
    },
  };
}
