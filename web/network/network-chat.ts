import type { RandomBytes } from '#shared/clock.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { PreviousReceipts } from '#shared/receipt/build/previous-receipts.ts';
import type { Evidence } from '#shared/receipt/evidence/evidence.ts';
import { openManifest } from '#shared/route/open-signed.ts';
import type { ChatMessage } from '#shared/text/model-text.ts';
import type { BlobStoreOptions } from '../browser/blob-store.ts';
import type { AnswerOptions, Chat, ChatEvent } from '../state/conversation/chat.ts';
import { fetchManifest, postReceipt } from './api.ts';
import type { Joined } from './join.ts';
import { loadModelText } from './load-model-text.ts';
import { logTabReceipt, signTabReceipt, type TabReceiptDeps } from './tab-receipt.ts';
import { WrittenText } from './written-text.ts';

export interface NetworkChatDeps {
  /** Of the tokenizer's files. */
  readonly storage: BlobStoreOptions;
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
  { storage, random, holdProof }: NetworkChatDeps,
  signal: AbortSignal,
): Promise<Chat> {
  const { identity, control } = joined;
  const { serverKey } = control;
  const manifest = await openManifest(await fetchManifest(model, signal), model, { serverKey, verify });
  const text = await loadModelText(manifest, storage, signal);
  const conversation = joined.requester.openConversation({ manifest, digest: model });
  const receipts: TabReceiptDeps = {
    ...{ identity, serverKey, manifest, manifestDigest: model, text, random, verify, postReceipt, holdProof },
    previous: new PreviousReceipts(),
  };

  async function* answer(
    messages: readonly ChatMessage[],
    { maxNewTokens, temperature, topP, seed, signal: stop }: AnswerOptions,
  ): AsyncGenerator<ChatEvent> {
    const prompt = text.chatPrompt(messages);
    const { maxPositions } = manifest.config;
    const promptTokens = text.encodePrompt(prompt, maxPositions);
    const room = maxPositions - promptTokens.length;
    if (room < 1) {
      throw new ChorusError(
        'too-long',
        `the prompt has ${promptTokens.length} tokens; ${maxPositions - 1} are allowed`,
        {
          ...{ promptTokens: promptTokens.length, maxPositions },
          isFirst: messages.length === 1,
        },
      );
    }
    const shown = new WrittenText(() => text.createWriter([], promptTokens));
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
        const isFull = event.reason === 'length' && room < maxNewTokens;
        const reason = isFull ? 'context' : event.reason;
        yield { ...event, reason, text: shown.end(), hasEvidence: evidence !== null };
      } else yield event;
    }
    // Only now is the session free for the next question.
    if (evidence === null) return;
    const signed = await signTabReceipt({ evidence, prompt, answer: shown.text }, receipts);
    const { receipt } = signed;
    if (receipt !== null) yield { type: 'signed', receipt };
    // The log is waited for whatever becomes of the conversation, as long as the server is.
    const logged = receipt === null ? signed : await logTabReceipt(receipt, receipts, new AbortController().signal);
    yield { type: 'receipt', ...logged };
  }

  return { answer, close: () => conversation.close() };
}
