import { generateKeyPair, identityOf, verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import type { Conversation, ConversationOptions } from '#shared/peer/requester/requester.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { openManifest } from '#shared/route/open-signed.ts';
import { createNodeRequester } from '../../signal-server/node-peer/requester-program.ts';
import { serverApiAt } from '../../signal-server/node-peer/server-api.ts';

/** A requester in this process, over the relay. */
export interface AskingProgram {
  open(options?: ConversationOptions): Conversation;
  close(): void;
}

/** Joins the server at `url` with a fresh key, to ask for its first model. */
export async function startAskingProgram(url: string): Promise<AskingProgram> {
  const serverUrl = new URL(url);
  const { signal } = new AbortController();
  const identity = await identityOf(await generateKeyPair());
  const { requester, control, close } = await createNodeRequester({ serverUrl, identity, kind: 'cli', signal });
  const api = serverApiAt(serverUrl);
  const [model] = await api.fetchModels(signal);
  if (model === undefined) throw new Error('the server has no model');
  const { digest } = model;
  const manifest = await openManifest(await api.fetchManifest(digest, signal), digest, {
    serverKey: control.serverKey,
    verify,
  });
  return { open: (options) => requester.openConversation({ manifest, digest }, options), close };
}

/** All events of a greedy answer of at most `maxNewTokens`, and the tokens that came last at each position. */
export async function askGreedily(
  conversation: Conversation,
  promptTokens: readonly number[],
  maxNewTokens: number,
): Promise<{ events: AnswerEvent[]; tokens: number[] }> {
  const events: AnswerEvent[] = [];
  const tokens: number[] = [];
  const sampling = { temperature: 0, topP: 1, seed: 0 };
  const { signal } = new AbortController();
  for await (const event of conversation.generate({ promptTokens, maxNewTokens, sampling, signal })) {
    events.push(event);
    if (event.type === 'rerouted' || event.type === 'redrawn')
      tokens.length = Math.max(0, event.from - promptTokens.length);
    if (event.type === 'token') tokens.push(event.token);
  }
  return { events, tokens };
}
