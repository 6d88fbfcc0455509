import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { z } from 'zod';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import { TIERS } from '#shared/judge/finding.ts';
import { join } from 'node:path';
import { createDiskBlobStore } from '../../../signal-server/node-peer/disk-blob-store.ts';
import { startVolunteer, type NodeVolunteer } from '../../../signal-server/node-peer/volunteer-program.ts';
import { startServer, type ServerProcess } from '../../support/server-process.ts';
import { hostileThread, type ThreadLies } from './hostile-thread.ts';

const answerSchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string().nullable() }) })).length(1),
  chorus: z.object({
    tier: z.enum(TIERS),
    stages: z.array(z.object({ primary: z.string(), shadows: z.array(z.string()) })),
    earlier: z.array(z.object({ stages: z.array(z.object({ primary: z.string(), shadows: z.array(z.string()) })) })),
  }),
});

export interface AskedAnswer {
  readonly text: string;
  readonly tier: (typeof TIERS)[number];
  readonly ms: number;
  /** All that took part, in this route or one before it. */
  readonly replicas: ReadonlySet<string>;
  readonly primaries: ReadonlySet<string>;
}

/** A question that got no answer. */
export interface FailedAnswer {
  readonly failure: string;
  readonly ms: number;
}

export interface Question {
  readonly content: string;
  readonly temperature: number;
  readonly seed: number;
}

const networkSchema = z.object({ volunteers: z.array(z.object({ state: z.string() })) });
const START_TRIES = 240;
const NEW_TOKENS = 64;
const ASK_LIMIT_MS = 120_000;

/** The whole server with its default model, anchors, and volunteers who join and leave. */
export class AnswerStand {
  readonly #server: ServerProcess;
  readonly #client: OpenAI;
  /** True while a real question is asked: what a liar would give much to know. */
  isAsking = false;

  constructor(server: ServerProcess) {
    this.#server = server;
    this.#client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  }

  /** Resolves once all anchors serve. */
  static async open(anchors: number): Promise<AnswerStand> {
    const server = await startServer({ anchors, extraArguments: ['--log-level', 'silent'] });
    const ready = async (): Promise<number> => {
      const network: unknown = await (await fetch(`${server.url}/api/network`)).json();
      return networkSchema.parse(network).volunteers.filter(({ state }) => state === 'ready').length;
    };
    for (let tried = 0; (await ready()) < anchors; tried++) {
      if (tried === START_TRIES) throw new Error('the anchors did not start');
      await sleep(500);
    }
    return new AnswerStand(server);
  }

  async ask({ content, temperature, seed }: Question): Promise<AskedAnswer | FailedAnswer> {
    this.isAsking = true;
    const startedAtMs = performance.now();
    const tookMs = () => performance.now() - startedAtMs;
    const messages = [{ role: 'user' as const, content }];
    const request = { model: 'wren', messages, temperature, seed, max_tokens: NEW_TOKENS };
    try {
      const given = await this.#client.chat.completions.create(request, { timeout: ASK_LIMIT_MS });
      const ms = tookMs();
      const { choices, chorus } = answerSchema.parse(given);
      const stages = [chorus, ...chorus.earlier].flatMap((route) => route.stages);
      return {
        text: choices[0]!.message.content ?? '',
        tier: chorus.tier,
        ms,
        replicas: new Set(stages.flatMap(({ primary, shadows }) => [primary, ...shadows])),
        primaries: new Set(stages.map(({ primary }) => primary)),
      };
    } catch (error) {
      return { failure: String(error).slice(0, 120), ms: tookMs() };
    } finally {
      this.isAsking = false;
    }
  }

  get url(): string {
    return this.#server.url;
  }

  /** A volunteer under a fresh key, whose thread tells `lies`; an honest one without them. */
  async join(lies: ThreadLies | null): Promise<{ readonly id: string; readonly program: NodeVolunteer }> {
    const identity = await identityOf(await generateKeyPair());
    const program = await startVolunteer({
      serverUrl: new URL(this.#server.url),
      identity,
      kind: 'cli',
      blobs: createDiskBlobStore(join(this.#server.dataFolder, 'blobs')),
      settings: { backend: 'wasm', pledgeBytes: 2 ** 30, slots: 4 },
      signal: new AbortController().signal,
      ...(lies !== null && { spawnWorker: () => hostileThread(lies) }),
    });
    return { id: identity.id, program };
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }
}
