import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import {
  repeatFromServers,
  type RepeatFromServers,
  type RepeatProgress,
} from '#shared/peer/replay/repeat-from-servers.ts';
import type { ModelServer } from '#shared/peer/replay/replay-sources.ts';
import { saltedTokens } from '#shared/receipt/evidence/salted.ts';
import { parseStatement } from '#shared/receipt/read-receipt.ts';
import type { ReceiptFile, ReceiptPredicate } from '#shared/receipt/receipt.ts';
import { placeOf, verdictOf } from '#shared/receipt/replay/replay-report.ts';
import type { ServedStage } from '../../worker/served-stage.ts';
import { repetitions } from '../support/effort.ts';
import { loadEngineStage } from '../support/engine-stage.ts';
import { inThreadWorkers } from '../support/in-thread-worker.ts';
import { MemoryBlobStore } from '../support/memory-blob-store.ts';
import { playAnswer, type Played } from '../support/played-answer.ts';
import { realClock } from '../support/real-clock.ts';
import { makePeople } from '../support/receipts.ts';
import { importTinyModel, tinyText, type TinyModel } from '../support/tiny-model.ts';

const ANSWERS = repetitions(20, 100);
const LAYERS = 3;
const people = await makePeople();
const createWorker = inThreadWorkers();
const store = new MemoryBlobStore();
let model: TinyModel;
let manifestBytes = new Uint8Array();
const answers: Played[] = [];
const stages = new Map<string, ServedStage>();

beforeAll(async () => {
  model = await importTinyModel();
  manifestBytes = utf8(JSON.stringify(model.manifest));
  for (let seed = 0; seed < ANSWERS; seed++) answers.push(await honestAnswer(seed));
});

afterAll(async () => {
  for (const stage of stages.values()) await stage.release();
});

/** Prompts of 20 to 58 tokens, answers of 12 to 50, cut after the first or the second layer. */
async function honestAnswer(seed: number): Promise<Played> {
  const at = 1 + (seed % 2);
  const ranges = [
    { start: 0, end: at, embedding: true, head: false },
    { start: at, end: LAYERS, embedding: false, head: true },
  ] as const;
  const opened: ServedStage[] = [];
  const played = await playAnswer(people, {
    ...{ manifest: model.manifest, manifestBytes, text: model.text, numericClass: ENGINE_CLASS, ranges },
    openStage: async (range) => {
      // Primary and shadow of two cuts each.
      const key = `${range.start}-${range.end}-${opened.length % 2}`;
      const stage = stages.get(key) ?? (await loadEngineStage(model, range));
      stages.set(key, stage);
      opened.push(stage);
      return stage;
    },
    ...{ prompt: tinyText(20 + ((7 * seed) % 39), seed), count: 12 + ((11 * seed) % 39) },
  });
  for (const stage of opened) await stage.close(parseStatement(played.receipt).predicate.session);
  return played;
}

/** Has the manifest, the weights, and what is put in the place of these. */
function serverOf(bytes = manifestBytes, instead = new Map<Digest, Uint8Array<ArrayBuffer>>()): ModelServer {
  return {
    fetchManifest: async () => ({ payload: toBase64(bytes), payloadType: '', signatures: [] }),
    fetchRange: async (digest, start, end) => {
      try {
        return (instead.get(digest) ?? model.blob(digest)).slice(start, end);
      } catch {
        throw new ChorusError('not-found', 'the server has no such blob');
      }
    },
  };
}

function repeat({ receipt, salt, tokens, answer }: Played, more: Partial<RepeatFromServers> = {}) {
  return repeatFromServers({
    ...{ receipt, salt, tokens, answer, store, clock: realClock, prompt: undefined, pieces: undefined },
    ...{ servers: [serverOf()], worker: createWorker(), signal: new AbortController().signal },
    onProgress: () => undefined,
    ...more,
  });
}

/** The receipt with another predicate. A replay looks at no signature: that is for the verification before it. */
function forged(receipt: ReceiptFile, change: (predicate: ReceiptPredicate) => ReceiptPredicate): ReceiptFile {
  const statement = parseStatement(receipt);
  const payload = toBase64(utf8(JSON.stringify({ ...statement, predicate: change(statement.predicate) })));
  return { ...receipt, envelope: { ...receipt.envelope, payload } };
}

const changedAt = (tokens: readonly number[], at: number) => tokens.with(at, (tokens[at]! + 1) % 160);
const failureOf = (repeating: Promise<unknown>) =>
  repeating.then(
    () => null,
    (thrown: unknown) => toChorusError(thrown),
  );
/** Every fourth answer, from `first` on. */
const quarter = (first: number) => answers.filter((_, i) => i % 4 === first);
const chunkOf = (position: number) => Math.floor(position / 32);

describe('an answer repeated from its receipt', () => {
  it('is the same in every number, whatever its prompt, its length and its cuts', async () => {
    for (const answer of answers) {
      const report = await repeat(answer);
      expect([verdictOf(report), report.isSpelt]).toEqual(['same', true]);
      const { positions } = parseStatement(answer.receipt).predicate;
      // Two stages, each with a primary and a shadow.
      expect(report.outputs).toHaveLength(4 * Math.ceil(positions / 32));
    }
  });

  it('tells of bytes and positions as they come', async () => {
    const progress: RepeatProgress[] = [];
    const fresh = new MemoryBlobStore();
    await repeat(answers[0]!, { store: fresh, onProgress: (each) => progress.push(each) });
    const weights = progress.filter(({ phase }) => phase === 'weights');
    expect([weights[0]!.done, weights.at(-1)!.done]).toEqual([0, weights[0]!.total]);
    const positions = progress.filter(({ phase }) => phase === 'positions');
    const { predicate } = parseStatement(answers[0]!.receipt);
    expect(positions.at(-1)).toMatchObject({ stage: 1, stages: 2, done: 2 * predicate.positions });
    expect(positions.every(({ total }) => total === 2 * predicate.positions)).toBe(true);
  });

  it('is told by other tokens than it was given: where, as closely as a stage signed', async () => {
    for (const [i, answer] of quarter(0).entries()) {
      const at = (5 * i + 33) % (answer.tokens.length - 1);
      const error = await failureOf(repeat({ ...answer, tokens: changedAt(answer.tokens, at) }));
      expect([error?.code, error?.details['what']]).toEqual(['bad-message', at < 32 ? 'salt' : 'tokens']);
      if (at >= 32) expect(error?.details).toMatchObject({ chunk: chunkOf(at) });
    }
  });

  it('is not the same where the receipt is of another token than was drawn: which, and from which chunk on', async () => {
    for (const [i, answer] of quarter(0).entries()) {
      const { prompt } = parseStatement(answer.receipt).predicate.request.tokens;
      const at = prompt + ((5 * i) % (answer.tokens.length - prompt - 1));
      const tokens = changedAt(answer.tokens, at);
      const receipt = forged(answer.receipt, (predicate) => {
        const sha256 = saltedTokens(answer.salt, tokens);
        return { ...predicate, request: { ...predicate.request, tokens: { ...predicate.request.tokens, sha256 } } };
      });
      const report = await repeat({ ...answer, receipt, tokens });
      const { rows, token } = placeOf(report);
      expect([verdictOf(report), token, rows?.stage, rows?.chunk]).toEqual(['differs', at, 0, chunkOf(at)]);
      expect(report.isSpelt).toBe(false);
    }
  });

  it('is not taken with another salt, which is named', async () => {
    for (const [i, answer] of quarter(1).entries()) {
      const salt = answer.salt.slice();
      salt[i]! ^= 1;
      const prompt = model.text.decode(
        answer.tokens.slice(0, parseStatement(answer.receipt).predicate.request.tokens.prompt),
      );
      const error = await failureOf(repeat({ ...answer, salt }, { prompt }));
      expect([error?.code, error?.details['what']]).toEqual(['bad-message', 'salt']);
    }
  });

  it.each([
    ['nobody has', 'not-found', undefined],
    ['somebody gives all the same', 'digest-mismatch', true],
  ] as const)('needs the weights of the receipt’s digests, and names those that %s', async (_, code, given) => {
    for (const [i, answer] of quarter(2).entries()) {
      const layer = i % LAYERS;
      const digest = String(i % 10).repeat(64) as Digest;
      const name = `layer.${layer}`;
      const part = model.manifest.parts.find((each) => each.name === name)!;
      const parts = model.manifest.parts.map((each) =>
        each === part ? { ...part, blob: { ...part.blob, digest, pieces: [digest] } } : each,
      );
      const bytes = utf8(JSON.stringify({ ...model.manifest, parts } satisfies Manifest));
      const receipt = forged(answer.receipt, (predicate) => ({
        ...predicate,
        model: { ...predicate.model, manifest: { sha256: digestOf(bytes) } },
      }));
      const instead = new Map(given ? [[digest, model.blob(part.blob.digest)]] : []);
      const fast = { ...realClock, setTimer: (task: () => void) => realClock.setTimer(task, 0) };
      const error = await failureOf(
        repeat({ ...answer, receipt }, { servers: [serverOf(bytes, instead)], clock: fast }),
      );
      const { stages } = parseStatement(answer.receipt).predicate;
      const stage = stages.findIndex(({ range }) => layer >= range.start && layer < range.end);
      expect([error?.code, error?.details]).toEqual([code, expect.objectContaining({ part: name, stage })]);
      expect(error?.message).toContain(`${name}, which stage ${stage + 1} of 2 needs`);
    }
  });

  it('is not the same with other weights under a manifest of their own: in which stage first', async () => {
    const [answer] = answers;
    const part = model.manifest.parts.find(({ name }) => name === 'layer.2')!;
    const other = model.blob(part.blob.digest).slice();
    other[other.length >> 1]! ^= 0x10;
    const digest = digestOf(other);
    // The graph names the blobs that its weights lie in.
    const { graph } = model.manifest;
    const named = Buffer.from(model.blob(graph.digest)).toString('latin1').replaceAll(part.blob.digest, digest);
    const otherGraph = new Uint8Array(Buffer.from(named, 'latin1'));
    const refOf = (blob: Uint8Array) => ({ digest: digestOf(blob), bytes: blob.length, pieces: [digestOf(blob)] });
    const parts = model.manifest.parts.map((each) => (each === part ? { ...part, blob: refOf(other) } : each));
    const bytes = utf8(JSON.stringify({ ...model.manifest, graph: refOf(otherGraph), parts }));
    const instead = new Map([other, otherGraph].map((blob) => [digestOf(blob), blob]));
    const receipt = forged(answer!.receipt, (predicate) => ({
      ...predicate,
      model: { ...predicate.model, manifest: { sha256: digestOf(bytes) } },
    }));
    const report = await repeat({ ...answer!, receipt }, { servers: [serverOf(bytes, instead)] });
    expect([verdictOf(report), placeOf(report).rows?.stage]).toEqual(['differs', 1]);
  });

  it('is not the same with a stage cut elsewhere: from that stage on', async () => {
    for (const answer of quarter(3)) {
      const receipt = forged(answer.receipt, (predicate) => {
        const [first, second] = predicate.stages as [Stage, Stage];
        const at = first.range.end === 1 ? 2 : 1;
        return { ...predicate, stages: [moved(first, { end: at }), moved(second, { start: at })] };
      });
      const report = await repeat({ ...answer, receipt });
      const { rows } = placeOf(report);
      expect([verdictOf(report), rows?.stage, rows?.chunk]).toEqual(['differs', 0, 0]);
    }
  });

  it('is stopped at once, and says so', async () => {
    const stop = new AbortController();
    const onProgress = ({ phase }: RepeatProgress): void => (phase === 'positions' ? stop.abort() : undefined);
    const error = await failureOf(repeat(answers[0]!, { signal: stop.signal, onProgress }));
    expect(error?.code).toBe('cancelled');
  });

  it('is fetched from another server where the first has nothing of it', async () => {
    const asked: string[] = [];
    const empty: ModelServer = {
      fetchManifest: () => Promise.reject(new ChorusError('unknown-model', 'no such model')),
      fetchRange: (digest) => {
        asked.push(digest);
        return Promise.reject(new ChorusError('not-found', 'no such blob'));
      },
    };
    const report = await repeat(answers[0]!, { servers: [empty, serverOf()], store: new MemoryBlobStore() });
    expect([verdictOf(report), asked.length > 0]).toEqual(['same', true]);
  });
});

type Stage = ReceiptPredicate['stages'][number];
const moved = (stage: Stage, range: Partial<StageRange>): Stage => ({ ...stage, range: { ...stage.range, ...range } });
