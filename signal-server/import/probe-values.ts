import { Worker } from 'node:worker_threads';
import { ChorusError, type ErrorCode } from '#shared/errors.ts';
import type { StageRange } from '#shared/model/stage.ts';
import type { ReferenceReply, ReferenceRequest } from '#shared/wire/worker-message.ts';

/** Named by URL, as every compute thread is. */
const program = new URL('../../worker/reference-main.mjs', import.meta.url);
/** One layer of a large model takes some seconds to convert and run. */
const TIMEOUT_MS = 10 * 60_000;
const MODULUS = 2 ** 31 - 1;

/** A thread that computes stages on the WASM backend, for values that other devices are compared with. */
export interface Reference {
  /** Rejects with the stage's ChorusError, or `worker-lost` or `timeout`. One call at a time. */
  compute(request: ReferenceRequest): Promise<Extract<ReferenceReply, { type: 'values' }>>;
  stop(): Promise<void>;
}

export function startReference(): Reference {
  const worker = new Worker(program);
  let settle: (reply: ReferenceReply) => void = () => undefined;
  const fail = (code: ErrorCode, message: string) => settle({ type: 'failure', code, message });
  worker.on('message', (reply: ReferenceReply) => settle(reply));
  worker.on('error', (error) => fail('worker-lost', error.message));
  worker.on('exit', (status) => fail('worker-lost', `the reference thread ended with code ${status}`));
  return {
    compute(request) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => fail('timeout', 'the reference took too long'), TIMEOUT_MS);
        settle = (reply) => {
          clearTimeout(timer);
          if (reply.type === 'values') resolve(reply);
          else reject(new ChorusError(reply.code, reply.message));
        };
        worker.postMessage(request);
      });
    },
    async stop() {
      await worker.terminate();
    },
  };
}

/** The stages whose outputs are the probe's boundaries, in order, and then the head. */
export function probeStages(layers: number): StageRange[] {
  return [
    { start: 0, end: 0, embedding: true, head: false },
    ...Array.from({ length: layers }, (_, i) => ({ start: i, end: i + 1, embedding: false, head: false })),
    { start: layers, end: layers, embedding: false, head: true },
  ];
}

/** Token ids of all kinds in a fixed order (Park and Miller's generator), none of them an end token. */
export function probeTokens(count: number, vocabularySize: number, endTokens: readonly number[]): number[] {
  const tokens: number[] = [];
  for (let state = 12345; tokens.length < count; state = (state * 16_807) % MODULUS) {
    const token = Math.floor((state / MODULUS) * vocabularySize);
    if (!endTokens.includes(token) || vocabularySize <= endTokens.length) tokens.push(token);
  }
  return tokens;
}
