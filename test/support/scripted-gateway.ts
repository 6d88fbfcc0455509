import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import OpenAI from 'openai';
import { digestOf } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { Conversation, Requester } from '#shared/peer/requester/requester.ts';
import type { AnswerEvent, GenerateRequest } from '#shared/requester/answer-event.ts';
import type { Route } from '#shared/route/route.ts';
import { promptOf, textOf, type Prompt } from '#shared/text/prompt.ts';
import { StopStrings } from '#shared/text/stop-strings.ts';
import type { GiveReceipt } from '../../signal-server/gateway/answer-receipt.ts';
import type { GatewayModel } from '../../signal-server/gateway/gateway-models.ts';
import { createGateway, type Gateway, type GatewayLimits } from '../../signal-server/gateway/gateway.ts';
import { apiHeaders } from '../../signal-server/http/api-paths.ts';
import { systemClock, systemRandom } from '../../signal-server/machine/system-clock.ts';
import { checkedEvent, endEvent, tokenEvent } from './verdicts.ts';

const codesOf = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));
const plain = (text: string): Prompt => ({ pieces: [{ text, isMarker: false }], isRendered: false });
const letters: Parameters<typeof promptOf>[0] = {
  chatPrompt(messages) {
    if (messages[0]?.role === 'assistant') throw new ChorusError('bad-message', 'the template does not take these');
    return { ...plain(`${messages.map(({ content }) => content).join('|')}>`), isRendered: true };
  },
  textPrompt: plain,
};

/** A model whose tokens are the codes of the characters. */
export const model: GatewayModel = {
  name: 'letters',
  digest: digestOf(new Uint8Array()),
  createdSeconds: 1_700_000_000,
  manifest: { config: { vocabularySize: 128, maxPositions: 64 }, pins: { quantization: 'q4' } } as Manifest,
  text: {
    async encode(source) {
      const prompt = promptOf(letters, source);
      return { prompt, tokens: codesOf(textOf(prompt)) };
    },
    encodePrompt: async (prompt) => codesOf(textOf(prompt)),
    decode: (tokens) => String.fromCharCode(...tokens),
    createWriter: (stop = []) => {
      const stops = new StopStrings(stop);
      return {
        push: (token) => stops.push(String.fromCharCode(token)),
        get isStopped() {
          return stops.isStopped;
        },
        end: () => stops.end(),
      };
    },
  },
};

const id = (digit: string) => digit.repeat(64) as PeerId;
export const route = {
  session: 'ab'.repeat(16) as SessionId,
  stages: [
    { range: { start: 0, end: 4, embedding: true, head: false }, primary: { id: id('1') }, shadows: [{ id: id('3') }] },
    { range: { start: 4, end: 8, embedding: false, head: true }, primary: { id: id('2') }, shadows: [] },
  ],
} as unknown as Route;
export const stages = [
  { start: 0, end: 4, primary: id('1'), shadows: [id('3')] },
  { start: 4, end: 8, primary: id('2'), shadows: [] },
];

export type Script = (
  request: GenerateRequest & { signal: AbortSignal },
) => AsyncGenerator<AnswerEvent, void, undefined>;

export const routed: AnswerEvent = { type: 'routed', route, links: [] };

/** Says `text`, one letter a token, as far as it may, and has it checked at the end. */
export const say = (text: string): Script =>
  async function* ({ promptTokens, maxNewTokens, isComplete }) {
    yield routed;
    const { length } = promptTokens;
    const codes = [...text].slice(0, maxNewTokens).map((letter) => letter.charCodeAt(0));
    const stop = codes.findIndex((_, i) => isComplete?.(codes.slice(0, i + 1)));
    const tokens = stop === -1 ? codes : codes.slice(0, stop + 1);
    for (const [i, token] of tokens.entries()) yield tokenEvent(length + i, token);
    yield checkedEvent(0, length + tokens.length);
    const reason = tokens.length === maxNewTokens ? 'length' : 'stop';
    yield endEvent(tokens.length, { reason, promptTokens: length });
  };

/** These events and nothing else. */
export const play = (...events: AnswerEvent[]): Script =>
  async function* () {
    yield* events;
  };

export const fail = (code: ErrorCode): Script =>
  async function* () {
    throw new ChorusError(code, `failed with ${code}`);
  };

export interface ScriptedGateway {
  readonly url: string;
  readonly server: Server;
  readonly gateway: Pick<Gateway, 'stop'>;
  readonly client: OpenAI;
  /** Conversations that were not closed. */
  readonly open: ReadonlySet<Conversation>;
  readonly seen: readonly GenerateRequest[];
  stop(): void;
}

/** The gateway in front of a requester that plays `script` for each answer. The model is there once `opening` resolves. */
export async function startScripted(
  script: Script,
  limits: Partial<GatewayLimits> = {},
  opening = Promise.resolve(),
  giveReceipt: GiveReceipt | null = null,
): Promise<ScriptedGateway> {
  const open = new Set<Conversation>();
  const seen: GenerateRequest[] = [];
  const requester: Pick<Requester, 'openConversation'> = {
    openConversation() {
      const conversation: Conversation = {
        generate: (request: GenerateRequest & { signal: AbortSignal }) => {
          seen.push(request);
          return script(request);
        },
        close: () => void open.delete(conversation),
      } as unknown as Conversation;
      open.add(conversation);
      return conversation;
    },
  };
  const identity = await identityOf(await generateKeyPair());
  const requesters = { take: () => Promise.resolve({ identity, requester, close: () => undefined }) };
  const models = {
    list: () => [model],
    open: (name: string) => opening.then(() => (name === model.name ? model : null)),
  };
  const log = { error: () => {}, info: () => {} };
  const app = express();
  app.use(apiHeaders(systemRandom));
  const gateway = createGateway({
    ...{ requesters, models, giveReceipt, clock: systemClock, random: systemRandom, log, limits, trustProxy: false },
  });
  app.use('/v1', gateway.router);
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const stop = () => {
    gateway.stop();
    server.closeAllConnections();
    server.close();
  };
  return {
    url,
    server,
    gateway,
    open,
    seen,
    stop,
    client: new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 }),
  };
}

export const messages = [{ role: 'user', content: 'Hi' }] as const;
export const chat = { model: 'letters', messages: [...messages] };
