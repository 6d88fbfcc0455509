import { fetchBlobs } from '#shared/blobs/fetch-blobs.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { BlobRef, Manifest } from '#shared/model/manifest.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import { openManifest } from '#shared/route/open-signed.ts';
import { openModelText, type ModelText, type ChatMessage } from '#shared/text/model-text.ts';
import { openBlobStore, type IdbBlobStore } from '../browser/blob-store.ts';
import type { AnswerOptions, Chat, ChatEvent } from '../state/conversation/chat.ts';
import { fetchManifest, fetchRange, postReceipt } from './api.ts';
import type { Joined } from './join.ts';
import { makeTabReceipt, type TabReceiptDeps } from './tab-receipt.ts';
import { WrittenText } from './written-text.ts';

export interface NetworkChatDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Holds a proof's checkpoint to what this browser has seen of the log. Never rejects. */
  readonly holdProof: (proof: string) => Promise<void>;
}

/**
 * A conversation over the network: the chat template and the tokenizer run here, the layers elsewhere. Rejects with
 * what is wrong with the manifest or the tokenizer, or why they could not be had.
 */
export async function openNetworkChat(
  joined: Joined,
  model: Digest,
  { clock, random, holdProof }: NetworkChatDeps,
  signal: AbortSignal,
): Promise<Chat> {
  const { identity, control } = joined;
  const { serverKey } = control;
  const manifest = await openManifest(await fetchManifest(model, signal), model, { serverKey, verify });
  const text = await loadText(manifest, clock, signal);
  const conversation = joined.requester.openConversation({ manifest, digest: model });
  // An answer that was stopped gets its receipt all the same.
  const closing = new AbortController();
  const receipts: TabReceiptDeps = {
    ...{ identity, serverKey, manifest, manifestDigest: model, text, random, verify, postReceipt, holdProof },
  };

  async function* answer(
    messages: readonly ChatMessage[],
    { maxNewTokens, temperature, topP, seed, signal: stop }: AnswerOptions,
  ): AsyncGenerator<ChatEvent> {
    const renderedPrompt = text.renderChat(messages);
    const promptTokens = text.encodeRendered(renderedPrompt);
    const room = manifest.config.maxPositions - promptTokens.length;
    if (room < 1) throw new ChorusError('too-long', `this model reads ${manifest.config.maxPositions} tokens at most`);
    const shown = new WrittenText(() => text.createWriter());
    let evidence: Evidence | null = null;
    const events = conversation.generate({
      promptTokens,
      maxNewTokens: Math.min(maxNewTokens, room),
      sampling: { temperature, topP, seed },
      signal: stop,
    });
    for await (const event of events) {
      if (event.type === 'rerouted' || event.type === 'redrawn') shown.rewind(event.from);
      if (event.type === 'token') yield { ...event, text: shown.push(event.position, event.token) };
      else if (event.type === 'end') {
        evidence = event.evidence;
        yield { ...event, text: shown.end(), hasEvidence: evidence !== null };
      } else yield event;
    }
    // Only now is the session free for the next question.
    if (evidence === null) return;
    const ended = { evidence, renderedPrompt, answer: shown.text };
    yield { type: 'receipt', ...(await makeTabReceipt(ended, receipts, closing.signal)) };
  }

  function close(): void {
    closing.abort();
    conversation.close();
  }
  return { answer, close };
}

async function loadText(manifest: Manifest, clock: Clock, signal: AbortSignal): Promise<ModelText> {
  const store = await openBlobStore();
  try {
    const { tokenizer, config } = manifest.tokenizer;
    await fetchBlobs([tokenizer, config], { store, fetchRange, clock, signal });
    return openModelText(await read(store, tokenizer), await read(store, config));
  } finally {
    store.close();
  }
}

async function read(store: IdbBlobStore, ref: BlobRef): Promise<Uint8Array<ArrayBuffer>> {
  const blob = await store.get(ref);
  if (blob === null) throw new ChorusError('internal', 'a file that was just stored is gone');
  return new Uint8Array(await blob.arrayBuffer());
}
